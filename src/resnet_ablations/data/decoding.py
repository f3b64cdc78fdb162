"""Image files decoded into arrays."""

import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from resnet_ablations.cores import usable_cores
from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError, reason_of

CHUNK: Final = 256
"""Images that a thread decodes at a time: enough to hide the cost of distributing work."""

MAX_THREADS: Final = 4
"""Decoding threads: they halve the time for large images and hide a slow disk, but do not speed up small images."""


def decode(root: Path, paths: Sequence[str], shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Return the images at `paths` below `root`, in that order, as N × H × W × C; `shape` is (H, W, C).

    Colour images become grey for C = 1, grey images become RGB for C = 3. Raise `UserError`, naming up to five files,
    for files that are no images, are damaged, or have another size.
    """
    pixels = np.empty((len(paths), *shape), np.uint8)

    def decode_chunk(start: int) -> list[str]:
        problems: list[str] = []
        for index in range(start, min(start + CHUNK, len(paths))):
            try:
                pixels[index] = decode_one(root / paths[index], shape)
            except UserError as error:
                problems += error.messages
        return problems

    problems: list[str] = []
    progress = ProgressLines(f"decoding {root}")
    with quiet_pillow(), ThreadPoolExecutor(min(usable_cores(), MAX_THREADS)) as pool:
        for done, found in enumerate(pool.map(decode_chunk, range(0, len(paths), CHUNK)), start=1):
            problems += found
            if len(problems) >= 5:
                break
            progress.at(min(done * CHUNK, len(paths)), len(paths), "images")
    if problems:
        raise UserError(*problems[:5])
    return pixels


def decode_one(path: Path, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Return one image as H × W × C; raise `UserError` if the file is no image, is damaged, or has another size."""
    height, width, channels = shape
    with _opened(path) as image:
        if image.size != (width, height):
            size = f"{image.height}×{image.width} (height×width)"
            raise UserError(f"{path}: is {size}, but the data set has {height}×{width}; convert or remove it")
        return np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(shape)


def decode_rgb(path: Path) -> Image.Image:
    """Return the image in RGB, ignoring EXIF orientation; raise `UserError` if the file is damaged."""
    with _opened(path) as image:
        return image.convert("RGB")


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width from the file's header; raise `UserError` if the file is no image."""
    with quiet_pillow(), _opened(path) as image:
        return image.height, image.width


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Suppress Pillow's warnings in all threads: they are about metadata, which is not used, and about large images."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image without decoding it; turn every error inside the context into a `UserError` that names the file.

    Raise `UserError`, too, for more than 8 bits a channel and for several images in a file.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")) or _is_reduced(image):
                raise UserError(f"{path}: has more than 8 bits a channel (mode {image.mode}); convert or remove it")
            # A photo in the format MPO is a JPEG that also holds its own preview.
            if image.format != "MPO" and (count := getattr(image, "n_frames", 1)) > 1:
                raise UserError(f"{path}: has {count} images, of which only one would be read; divide or remove it")
            yield image
    except UserError:
        raise
    except Exception as error:  # PIL's decoders raise nearly any error for damaged files
        raise UserError(f"{path}: {_reason(error)}; replace or remove it") from None


def _is_reduced(image: Image.Image) -> bool:
    """Return whether Pillow reduces the image's channels to 8 bits, which its mode does not tell."""
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if re.search(";16[BLN]", str(arguments[0])) or (tile[0].startswith("ppm") and arguments[-1] > 255):
            return True
    return False


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image that can be read"
    return f"cannot be read ({reason_of(error)})"
