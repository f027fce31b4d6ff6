"""Several processes that serve one gallery at one address."""

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from socket import socket
from threading import Thread
from typing import Any

from samecar.cli import console
from samecar.cli.launching import LaunchedError, describe_end
from samecar.cli.watch import announcing
from samecar.errors import SamecarError
from samecar.hardware import available_cores
from samecar.processes import end_with
from samecar.retrieval.gallery import Gallery
from samecar.serving.app import listen, listen_together, run_service
from samecar.serving.guard import address_name
from samecar.serving.loading import Loading
from samecar.serving.metrics import SHARED_FOLDER
from samecar.serving.settings import ServiceSettings
from samecar.watching import EventSettings
from samecar.watching.watch_list import read_watch_list

SAID = 2
"""Status of a process that has told the one that started it why it ends."""


@dataclass(frozen=True)
class Served:
    """What is served.

    Attributes:
        gallery: as the command names it.
        engine: address of the server that keeps it; None where a folder does.
        device: that the model runs on.
        settings: of the service.
        events: where those of the watch list go.
    """

    gallery: str
    engine: str | None
    device: dict[str, Any]
    settings: ServiceSettings
    events: EventSettings

    def open(self) -> Gallery:
        """Opens the gallery."""
        return Gallery.open(self.gallery, engine=self.engine, **self.device)

    def say(self, listening: socket) -> None:
        """Says where it is."""
        address = f"http://{address_name(self.settings.host)}:{listening.getsockname()[1]}/"
        console.say(f"Serving {self.gallery} at {address} until Ctrl+C")


def serve_alone(served: Served) -> None:
    """Serves a gallery in this process, until it is told to end.

    Raises:
        SamecarError: the address is taken, or the gallery cannot be served.
    """
    with served.open() as opened, listen(served.settings) as listening, announcing(opened, served.events):
        served.say(listening)
        run_service(opened, served.settings, listening)


def serve_together(served: Served, count: int) -> None:
    """Serves a gallery in several processes, each with a model of its own, until this one is told to end.

    If one of them ends by itself the others are ended too.

    Args:
        served: what is served.
        count: of processes, 2 or more.

    Raises:
        SamecarError: the address is taken, the gallery cannot be served, or a process has ended.
    """
    with served.open() as opened:  # what is wrong with it is told once
        if read_watch_list(opened).pictures:
            console.warn(
                "the gallery has a watch list; of a passage whose pictures come in by several of the processes, each "
                "of these may tell"
            )
    context = multiprocessing.get_context("spawn")
    said: SimpleQueue[str] = context.SimpleQueue()
    loading = Loading(context, count)
    with ExitStack() as held:
        os.environ[SHARED_FOLDER] = held.enter_context(tempfile.TemporaryDirectory(prefix="samecar-"))
        held.callback(os.environ.pop, SHARED_FOLDER)
        sockets = held.enter_context(listen_together(served.settings, count))
        parts = [
            context.Process(target=_serve_part, args=(served, number, count, listening, loading, said))
            for number, listening in enumerate(sockets)
        ]
        served.say(sockets[0])
        try:
            _see_through(parts)
        finally:
            for part in parts:
                if part.pid is not None:  # it was started
                    part.join()
    if not said.empty():
        raise SamecarError(said.get())


def _see_through(parts: Sequence[SpawnProcess]) -> None:
    """Starts processes and waits until all are told to end, or one of them ends.

    Raises:
        LaunchedError: one has ended with an error that it has printed.
        SamecarError: one was ended from outside.
    """
    told = False

    def end(*_: object) -> None:
        nonlocal told
        told = True
        for part in parts:
            if part.is_alive():
                part.terminate()

    for meant in (signal.SIGINT, signal.SIGTERM):
        signal.signal(meant, end)
    for part in parts:
        if not told:
            part.start()
    started = [part for part in parts if part.pid is not None]
    ready = connection.wait([part.sentinel for part in started])
    if told:
        return
    number, ended = next((number, part) for number, part in enumerate(started) if part.sentinel in ready)
    ended.join()
    end()
    _refuse_failure(number, len(parts), ended.exitcode or 0)


def _refuse_failure(number: int, count: int, status: int) -> None:
    """Says why a process ended, unless it has told it itself.

    Raises:
        LaunchedError: it ended with an error that it has printed.
        SamecarError: it was ended from outside.
    """
    if status < 0:
        raise SamecarError(describe_end(number, count, -status))
    if status == 0:
        raise SamecarError(
            f"process {number} of {count} (numbered from 0) was told to end, and the others with it; to end the "
            "service, end the process that started them"
        )
    if status != SAID:
        raise LaunchedError(status)


def _serve_part(
    served: Served, number: int, count: int, listening: socket, loading: Loading, said: "SimpleQueue[str]"
) -> None:
    """One of the processes; the first one alone keeps to the days that entries are kept."""
    from samecar.cli.main import prepare_process

    prepare_process()
    _take_cores(number, count)
    starter = multiprocessing.parent_process()
    assert starter is not None
    Thread(target=end_with, args=(starter.pid,), daemon=True).start()
    settings = served.settings if number == 0 else served.settings.model_copy(update={"retain_days": None})
    try:
        with served.open() as opened, announcing(opened, served.events):
            run_service(opened, settings, listening, loading)
    except SamecarError as error:
        said.put(str(error))
        sys.exit(SAID)


def _take_cores(number: int, count: int) -> None:
    """Leaves a part of the cores to each process, as far as there is one for each."""
    if count <= available_cores():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[number::count])
