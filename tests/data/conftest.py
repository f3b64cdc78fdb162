import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def colours() -> dict[str, tuple[int, int, int]]:
    """The classes of `photos`, and the colour of each class's images."""
    return {"blue": (20, 40, 200), "green": (30, 180, 60), "red": (210, 50, 40)}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, colours: dict[str, tuple[int, int, int]]) -> Path:
    """Return a folder in ImageNet's layout.

    It has 3 classes with 9 training and 4 test images each, of many sizes and kinds. Image 3 of each class is grey, 4
    is CMYK, 5 is a PNG named JPEG, 6 has a palette and 7 transparency. Each image has its class's colour with small
    variations, and is brighter towards its right edge.
    """
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for split, count in (("train", 9), ("val", 4)):
        for name, colour in colours.items():
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                width, height = generator.integers(20, 60, 2)
                ramp = np.linspace(-15, 15, width)[None, :, None] + 2 * number
                pixels = (np.broadcast_to(np.array(colour), (height, width, 3)) + ramp).clip(0, 255).astype(np.uint8)
                _save(Image.fromarray(pixels), root / split / name, number)
    return root


def _save(image: Image.Image, folder: Path, number: int) -> None:
    match number:
        case 3:
            image.convert("L").save(folder / "3.JPEG", quality=95)
        case 4:
            image.convert("CMYK").save(folder / "4.JPEG", quality=95)
        case 5:
            image.save(folder / "5.JPEG", "PNG")
        case 6:
            image.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "6.PNG")
        case 7:
            image.putalpha(128)
            image.save(folder / "7.png")
        case _:
            image.save(folder / f"{number}.{('JPEG', 'jpg', 'JPG')[number % 3]}", "JPEG", quality=95, subsampling=0)


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """Assert that no worker process of a loader is left after a test."""
    yield
    assert multiprocessing.active_children() == []
