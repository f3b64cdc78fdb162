"""Which windows of an image become inputs: v1, section 3.4, and v2's Table 5.

Sizes are (width, height). A window is given in the image's own pixels and resized to crop × crop at once, which is the
same as resizing the image and cutting crop × crop out of it.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet_ablations.data.images import CropAugmentation

Size = tuple[int, int]

ATTEMPTS: Final = 10
"""How often `scale_aspect_ratio` draws a window that may not fit into the image."""


class View(NamedTuple):
    """A window of an image (left, upper, right, lower), and whether it is mirrored."""

    box: tuple[float, float, float, float]
    mirrored: bool = False


def cut(image: Image.Image, view: View, crop: int) -> npt.NDArray[np.uint8]:
    """The view of an RGB image as crop × crop × 3: resized by bicubic interpolation, antialiased."""
    window = image.resize((crop, crop), Image.Resampling.BICUBIC, box=view.box)
    if view.mirrored:
        window = window.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(window)


def scaled(crop: int, shorter: int) -> int:
    """For inputs of another size what `shorter` pixels are for inputs of 224."""
    return round(shorter * crop / 224)


def scale(size: Size, crop: int, generator: np.random.Generator) -> View:
    """Any window of the image after its shorter side is resized to one of 256 … 480 (for a crop of 224)."""
    shorter = int(generator.integers(scaled(crop, 256), scaled(crop, 480), endpoint=True))
    width, height = _resized(size, shorter)
    left = int(generator.integers(0, width - crop, endpoint=True))
    upper = int(generator.integers(0, height - crop, endpoint=True))
    return View(_box(size, shorter, left, upper, crop), _coin(generator))


def scale_aspect_ratio(size: Size, crop: int, generator: np.random.Generator) -> View:
    """Any window of 8 to 100 % of the image's area and an aspect ratio of 3/4 to 4/3.

    After `ATTEMPTS` windows that do not fit, the central one of the image whose shorter side is resized to the crop.
    """
    width, height = size
    for _ in range(ATTEMPTS):
        area = generator.uniform(0.08, 1) * width * height
        aspect_ratio = generator.uniform(3 / 4, 4 / 3)
        across, down = round(math.sqrt(area * aspect_ratio)), round(math.sqrt(area / aspect_ratio))
        if _coin(generator):
            across, down = down, across
        if 0 < across <= width and 0 < down <= height:
            left = int(generator.integers(0, width - across, endpoint=True))
            upper = int(generator.integers(0, height - down, endpoint=True))
            return View((left, upper, left + across, upper + down), _coin(generator))
    return central(size, crop, crop)._replace(mirrored=_coin(generator))


DRAWN: Final[Mapping[CropAugmentation, Callable[[Size, int, np.random.Generator], View]]] = {
    "scale": scale,
    "scale_aspect_ratio": scale_aspect_ratio,
}


def central(size: Size, shorter: int, crop: int) -> View:
    """The central window of the image after its shorter side is resized to `shorter`."""
    width, height = _resized(size, shorter)
    return View(_box(size, shorter, round((width - crop) / 2), round((height - crop) / 2), crop))


def ten(size: Size, shorter: int, crop: int) -> list[View]:
    """The corners and the centre of the image after its shorter side is resized to `shorter`, then all mirrored."""
    width, height = _resized(size, shorter)
    corners = [(0, 0), (width - crop, 0), (0, height - crop), (width - crop, height - crop)]
    views = [View(_box(size, shorter, left, upper, crop)) for left, upper in corners] + [central(size, shorter, crop)]
    return views + [view._replace(mirrored=True) for view in views]


def _resized(size: Size, shorter: int) -> Size:
    width, height = size
    return shorter * width // min(size), shorter * height // min(size)


def _box(size: Size, shorter: int, left: int, upper: int, crop: int) -> tuple[float, float, float, float]:
    """A crop × crop window of the resized image, in the pixels of the image."""
    (width, height), (resized_width, resized_height) = size, _resized(size, shorter)
    return (
        left * width / resized_width,
        upper * height / resized_height,
        (left + crop) * width / resized_width,
        (upper + crop) * height / resized_height,
    )


def _coin(generator: np.random.Generator) -> bool:
    return bool(generator.integers(2))
