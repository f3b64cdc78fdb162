"""Views: the windows of an image that become network inputs; v1, section 3.4, and v2, Table 5.

Sizes are (width, height). A window has coordinates in the original image's pixels and is resized to the input's size in
one step, which equals resizing the whole image and then cropping.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet_ablations.data.images import CropAugmentation
from resnet_ablations.streams import Stream

Size = tuple[int, int]

ATTEMPTS: Final = 10
"""The number of random windows that `scale_aspect_ratio` tries; a window may not fit into the image."""


class View(NamedTuple):
    """A window of an image (left, upper, right, lower), the size of the input, and whether the input is mirrored."""

    box: tuple[float, float, float, float]
    size: Size
    mirrored: bool = False


def cut(image: Image.Image, view: View) -> npt.NDArray[np.uint8]:
    """Return the view of an RGB image as height × width × 3, resized by antialiased bicubic interpolation."""
    window = image.resize(view.size, Image.Resampling.BICUBIC, box=view.box)
    if view.mirrored:
        window = window.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(window)


def scaled(crop: int, shorter: int) -> int:
    """Return `shorter`, given in pixels for a crop of 224, in proportion to this crop."""
    return round(shorter * crop / 224)


def scale(size: Size, crop: int, stream: Stream) -> View:
    """Return a random crop × crop window of the image, its shorter side resized to 256 … 480 (for a crop of 224)."""
    shorter = int(stream.integers(scaled(crop, 256), scaled(crop, 480) + 1))
    width, height = _resized(size, shorter)
    left = int(stream.integers(0, width - crop + 1))
    upper = int(stream.integers(0, height - crop + 1))
    return View(_box(size, shorter, left, upper, crop), (crop, crop), _coin(stream))


def scale_aspect_ratio(size: Size, crop: int, stream: Stream) -> View:
    """Return a random window with 8 to 100 % of the image's area and an aspect ratio of 3/4 to 4/3.

    If `ATTEMPTS` windows do not fit, return the central window of the image with its shorter side resized to the crop.
    """
    width, height = size
    for _ in range(ATTEMPTS):
        area = stream.uniform(0.08, 1) * width * height
        aspect_ratio = stream.uniform(3 / 4, 4 / 3)
        across, down = round(math.sqrt(area * aspect_ratio)), round(math.sqrt(area / aspect_ratio))
        if _coin(stream):
            across, down = down, across
        if 0 < across <= width and 0 < down <= height:
            left = int(stream.integers(0, width - across + 1))
            upper = int(stream.integers(0, height - down + 1))
            return View((left, upper, left + across, upper + down), (crop, crop), _coin(stream))
    return central(size, crop, crop)._replace(mirrored=_coin(stream))


DRAWN: Final[Mapping[CropAugmentation, Callable[[Size, int, Stream], View]]] = {
    "scale": scale,
    "scale_aspect_ratio": scale_aspect_ratio,
}


def central(size: Size, shorter: int, crop: int) -> View:
    """Return the central window of the image with its shorter side resized to `shorter`."""
    width, height = _resized(size, shorter)
    box = _box(size, shorter, round((width - crop) / 2), round((height - crop) / 2), crop)
    return View(box, (crop, crop))


def ten(size: Size, shorter: int, crop: int) -> list[View]:
    """Return ten views: corners and centre, and all mirrored; the image's shorter side is resized to `shorter`."""
    width, height = _resized(size, shorter)
    corners = [(0, 0), (width - crop, 0), (0, height - crop), (width - crop, height - crop)]
    boxes = [_box(size, shorter, left, upper, crop) for left, upper in corners]
    views = [View(box, (crop, crop)) for box in boxes] + [central(size, shorter, crop)]
    return views + [view._replace(mirrored=True) for view in views]


def whole(size: Size, shorter: int) -> list[View]:
    """Return two views: the whole image with its shorter side resized to `shorter`, and the same mirrored."""
    view = View((0, 0, *size), _resized(size, shorter))
    return [view, view._replace(mirrored=True)]


def _resized(size: Size, shorter: int) -> Size:
    width, height = size
    return shorter * width // min(size), shorter * height // min(size)


def _box(size: Size, shorter: int, left: int, upper: int, crop: int) -> tuple[float, float, float, float]:
    """Return a crop × crop window of the resized image, in the original image's pixels."""
    (width, height), (resized_width, resized_height) = size, _resized(size, shorter)
    return (
        left * width / resized_width,
        upper * height / resized_height,
        (left + crop) * width / resized_width,
        (upper + crop) * height / resized_height,
    )


def _coin(stream: Stream) -> bool:
    return bool(stream.integers(0, 2))
