"""Random folders of images: refused in lines, or exactly the images that are there; and no others afterwards."""

import random
import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
from cases import LONG, SHORT, mistake_in, run_cases
from drawn_images import Drawn, change, draw_folder

from resnet_ablations.config import RunConfig
from resnet_ablations.data.decoding import decode_rgb
from resnet_ablations.data.images import Images
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import compose

OTHERS = {"image_folder": ["data.augmentation.pad=1"], "imagenet": ["data.crop=16"]}
SEEDS = {"short": range(70), "long": range(10_000, 16_000)}


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_random_folders_of_images(length: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accepted = []

    def case(draw: random.Random) -> str | None:
        home = Path(mkdtemp(dir=tmp_path))
        option, test = draw.choice((("image_folder", "test"), ("imagenet", "val")))
        drawn = draw_folder(draw, home / "images", test, draw.choice((0, 1, 1, 2, 3)))
        lines = [f"data={option}", f"data.root='{drawn.root}'", f"data.cache='{home}/cache'", *OTHERS[option]]
        if option == "image_folder":
            lines.append("data.shape=[{},{},3]".format(*drawn.size))
        try:
            run = compose([*lines, f"data.classes={len(drawn.classes)}"])
            found = contents(run)
        except UserError as error:
            wrong = mistake_in(error) or (None if drawn.refused else f"refused: {error}")
        else:
            accepted.append(run)
            wrong = f"accepted with {drawn.refused}" if drawn.refused else other_images(found, drawn)
            wrong = wrong or later(draw, run, drawn)
        shutil.rmtree(home)
        capsys.readouterr()
        return f"{option}: {wrong}" if wrong else None

    run_cases(SEEDS[length], case)
    assert len(accepted) > len(SEEDS[length]) / 5


def contents(run: RunConfig) -> list[tuple[bytes, int]]:
    """Return the pixels and the label of each image: those for training, then those for testing."""
    data, found = run.data.load(), []
    for part, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        for image, label in zip(part, labels, strict=True):
            pixels = image if isinstance(data, Images) else decode_rgb(data.root / image)
            found.append((pixels.tobytes(), int(label)))
    return found


def other_images(found: list[tuple[bytes, int]], drawn: Drawn) -> str | None:
    """Return how the images of a data set differ from those that were drawn; None if they do not."""
    for split in ("train", drawn.test):
        there = sorted(one for path, one in drawn.images.items() if path.startswith(f"{split}/"))
        here, found = sorted(found[: len(there)]), found[len(there) :]
        if there != here:
            return f"{split}: {len(here)} images, of which {len(set(here) - set(there))} are not those that were drawn"
    return f"{len(found)} images more" if found else None


def later(draw: random.Random, run: RunConfig, drawn: Drawn) -> str | None:
    """Change the folder; return what is wrong with the answer of a run that was composed before."""
    differs = change(draw, drawn)
    try:
        found = contents(run)
    except UserError as error:
        return mistake_in(error) or (None if differs else f"refused though the images are the same: {error}")
    return "accepted other images" if differs else other_images(found, drawn)
