"""The drawn data set: equal on every machine, drawn once and completely, with images that fit their classes."""

import colorsys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_ablations.data import generated
from resnet_ablations.data.generated import CLASSES, HUES, Generated, draw
from resnet_ablations.errors import UserError
from resnet_ablations.streams import Purpose, Stream


def source(root: Path) -> Generated:
    return Generated(root=str(root), crop=64, augmentation="scale", colour="pca", normalisation="per_channel")


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "IMAGES_PER_CLASS", {"train": 3, "val": 1})


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders in which images were drawn."""
    folders: list[Path] = []
    draw_all = generated._draw_all
    monkeypatch.setattr(generated, "_draw_all", lambda folder: folders.append(folder) or draw_all(folder))
    return folders


def test_drawn_once_in_imagenets_layout(tmp_path: Path, drawn: list[Path]) -> None:
    files = source(tmp_path).load()
    again = source(tmp_path)
    again.prepare()
    assert len(drawn) == 1
    assert (len(files.train), len(files.test), files.crop) == (30, 10, 64)
    assert np.bincount(files.train_labels).tolist() == [3] * 10
    assert sorted({path.split("/")[1] for path in files.train}) == sorted(CLASSES)
    assert all((files.root / path).is_file() for path in [*files.train, *files.test])
    assert {path.name for path in tmp_path.iterdir()} <= {"generated", ".download-generated.lock"}


def test_images_that_were_replaced_are_not_used(tmp_path: Path) -> None:
    """The name of the drawing, which is in a run's key, stands for what was drawn."""
    files = source(tmp_path).load()
    before = (files.root / files.train[0]).read_bytes()
    Image.new("RGB", (80, 80), "red").save(files.root / files.train[0], "JPEG")
    for action in (source(tmp_path).prepare, source(tmp_path).load):
        with pytest.raises(UserError, match="its images are not those that were drawn; delete the folder"):
            action()
    (files.root / files.train[0]).write_bytes(before)
    source(tmp_path).prepare()
    (files.root / ".fingerprint").unlink()
    assert len(source(tmp_path).load().train) == 30, "an older version made no record"


def test_known_before_it_is_drawn(tmp_path: Path) -> None:
    folder = source(tmp_path / "data")
    folder.check()
    assert (folder.shape, folder.classes) == ((64, 64, 3), 10)
    assert (folder.training_images(), folder.test_images()) == (30, 10)
    assert folder.fingerprint() == "drawing-2"
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_draw_once(tmp_path: Path, drawn: list[Path]) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: source(tmp_path).prepare(), range(2)))
    assert len(drawn) == 1


def test_leftovers_of_a_killed_drawing_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            source(tmp_path).prepare()
    assert not (tmp_path / "generated").exists()
    assert len(source(tmp_path).load().train) == 30


def test_missing_images_are_reported(tmp_path: Path) -> None:
    files = source(tmp_path).load()
    gone = files.root / str(files.train[4])
    gone.unlink()
    for action in (source(tmp_path).prepare, source(tmp_path).load):
        with pytest.raises(UserError, match=f"1 of its images .* such as {gone}; delete the folder"):
            action()


def test_a_missing_folder_for_drawn_images_is_refused(tmp_path: Path) -> None:
    nowhere = tmp_path / "no" / "where"
    for action in (source(nowhere).check, source(nowhere).prepare):
        with pytest.raises(UserError, match=f"data.root={nowhere}: {nowhere} does not exist"):
            action()


def test_every_image_is_another_and_drawn_alike_everywhere(tmp_path: Path) -> None:
    one, two = source(tmp_path / "one").load(), source(tmp_path / "two").load()
    contents = [(one.root / path).read_bytes() for path in [*one.train, *one.test]]
    assert contents == [(two.root / path).read_bytes() for path in [*two.train, *two.test]]
    assert len(set(contents)) == 40


def test_kinds_and_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(generated, "IMAGES_PER_CLASS", {"train": 12})
    generated._draw_all(tmp_path)
    images = [Image.open(path) for path in sorted(tmp_path.glob("train/*/*"))]
    modes = [image.mode for image in images]
    assert (len(modes), modes.count("L"), modes.count("CMYK")) == (120, 10, 10)
    assert all(image.format == "JPEG" for image in images)
    sides = np.array([image.size for image in images])
    assert 70 <= sides.min() < 80
    assert 150 < sides.max() <= 160
    assert len({image.size for image in images}) > 100


@pytest.mark.parametrize("label", range(10))
def test_an_image_shows_the_hue_of_its_class(label: int) -> None:
    stream = Stream(0, Purpose.DRAWING, label)
    for _ in range(5):
        pixels = np.asarray(draw(label, stream).reduce(3)).reshape(-1, 3) / 255
        hues = [h for h, s, v in (colorsys.rgb_to_hsv(*pixel) for pixel in pixels) if s > 0.5 and v > 0.4]
        away = np.abs((np.array(hues) - label / len(HUES) + 0.5) % 1 - 0.5)
        assert len(hues) > 20
        assert np.median(away) < 0.04
