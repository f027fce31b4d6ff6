"""Which processes of a service have loaded the gallery: it is ready when all have."""

from concurrent.futures import Future
from multiprocessing.context import SpawnContext

from samecar.serving.errors import ServiceError


class Loading:
    """How many processes have loaded the gallery; each is handed this when it is started.

    Args:
        context: by which they are started.
        count: of them all.
    """

    def __init__(self, context: SpawnContext, count: int) -> None:
        self._count = count
        self._loaded = context.Value("i", 0)

    def note(self, loaded: "Future[None]") -> None:
        """Notes that one more has loaded it, if it has."""
        if loaded.exception() is None:
            with self._loaded.get_lock():
                self._loaded.value += 1

    def refuse_unless_done(self) -> None:
        """Refuses while one still loads it.

        Raises:
            ServiceError: so it is.
        """
        if self._loaded.value < self._count:
            state = "a process of the service is still loading the gallery and its model; try again in a few seconds"
            raise ServiceError(503, "not_ready", state, retry_after=2)
