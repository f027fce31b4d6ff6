"""What is done to every picture before a model sees it, as a value that the model hands over whole."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preprocessing:
    """The pictures that a model takes: their size, and how their colours are normalised.

    Attributes:
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        mean: of R, G and B in 0..1; subtracted from pictures.
        deviation: of R, G and B in 0..1; pictures are then divided by it.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Height and width below which a picture is not decoded; twice its own leaves resizing something to do."""
        return 2 * self.height, 2 * self.width
