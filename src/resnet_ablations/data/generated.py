"""A small data set in ImageNet's layout, drawn by this program: a substitute where ImageNet is not available."""

import colorsys
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, final

import numpy as np
import numpy.typing as npt
from annotated_types import Ge
from PIL import Image, ImageDraw

from resnet_ablations.data.downloads import check_root, staging
from resnet_ablations.data.fingerprint import fingerprint
from resnet_ablations.data.imagenet import ImageNet
from resnet_ablations.data.images import ColourAugmentation, CropAugmentation, ImageFiles
from resnet_ablations.data.sources import Folder, Source
from resnet_ablations.errors import UserError
from resnet_ablations.streams import Purpose, Stream

DRAWING: Final = 2
"""The version of the drawing; a new version does not use images of an older one."""

RECORD: Final = ".fingerprint"
"""The file that records the fingerprint of the images as they were drawn."""

IMAGES_PER_CLASS: Final = {"train": 64, "val": 10}

HUES: Final = ("red", "orange", "olive", "green", "jade", "teal", "azure", "blue", "violet", "pink")
FIGURES: Final = ("disc", "square", "triangle", "cross", "ring")
CLASSES: Final = tuple(
    f"{hue}_{'striped_' if number >= len(FIGURES) else ''}{FIGURES[number % len(FIGURES)]}"
    for number, hue in enumerate(HUES)
)
"""The names of the ten classes, one for each hue: five with solid figures, five with striped figures."""


@final
class Generated(Source):
    """Drawn images: ten classes with 64 training and 10 test images each, drawn once into a folder below `root`.

    An image shows five to eight figures of its class at random sizes and places, in shades of the class's hue, on a
    noisy background of a random dull colour. Its sides are 70 to 160 pixels; one image in sixteen is grey, one in
    sixteen is CMYK. The drawing is the same on every machine; its JPEG file may differ in the last bits.
    """

    classes = len(CLASSES)
    streams = True

    def __init__(
        self,
        *,
        root: Folder,
        crop: Annotated[int, Ge(1)],
        augmentation: CropAugmentation,
        colour: ColourAugmentation,
        normalisation: Literal["per_channel"],
    ) -> None:
        self.root = Path(root).expanduser()
        self.folder = self.root / "generated" / f"drawing-{DRAWING}"
        self.images = ImageNet(
            root=str(self.folder),
            cache=None,
            classes=self.classes,
            crop=crop,
            augmentation=augmentation,
            colour=colour,
            normalisation=normalisation,
        )
        self.shape = self.images.shape

    def check(self) -> None:
        check_root(self.root, lambda: [self.folder])

    def fingerprint(self) -> str | None:
        return f"drawing-{DRAWING}"

    def training_images(self) -> int:
        return IMAGES_PER_CLASS["train"] * self.classes

    def test_images(self) -> int:
        return IMAGES_PER_CLASS["val"] * self.classes

    def prepare(self) -> None:
        self.check()
        if not self.folder.exists():
            with staging(self.root, "generated") as staged:
                if not self.folder.exists():  # another process may have drawn the images while this one waited
                    _draw_all(staged / "images")
                    (staged / "images" / RECORD).write_text(_digest(staged / "images"), encoding="ascii")
                    self.folder.parent.mkdir(exist_ok=True)
                    (staged / "images").replace(self.folder)
        if missing := [place for place in _places() if not place.below(self.folder).exists()]:
            raise UserError(
                f"{self.folder}: {len(missing)} of its images are missing, such as "
                f"{missing[0].below(self.folder)}; delete the folder and run again to draw all images again"
            )
        record = self.folder / RECORD
        if record.exists() and record.read_text(encoding="ascii") != _digest(
            self.folder
        ):  # older folders have no record
            raise UserError(
                f"{self.folder}: its images are not those that were drawn; delete the folder and run again to draw all "
                "images again"
            )

    def load(self) -> ImageFiles:
        self.prepare()
        return self.images.load()


class Place(NamedTuple):
    """The position of one image in the data set."""

    split: str
    label: int
    number: int

    def below(self, folder: Path) -> Path:
        """Return the path of the image's file below `folder`."""
        name = CLASSES[self.label]
        return folder / self.split / name / f"{name}_{self.number:04d}.JPEG"


def _places() -> Iterator[Place]:
    for split, count in IMAGES_PER_CLASS.items():
        for label in range(len(CLASSES)):
            for number in range(count):
                yield Place(split, label, number)


def _digest(folder: Path) -> str:
    """Return the fingerprint of the images below `folder`."""
    return fingerprint(folder, [place.below(Path()).as_posix() for place in _places()], None)


def _draw_all(folder: Path) -> None:
    for counter, place in enumerate(_places()):
        stream = Stream(DRAWING, Purpose.DRAWING, counter)
        image = draw(place.label, stream)
        if place.number % 16 == 5:
            image = image.convert("L")
        elif place.number % 16 == 11:
            image = image.convert("CMYK")
        path = place.below(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, "JPEG", quality=int(stream.integers(70, 96)))


def draw(label: int, stream: Stream) -> Image.Image:
    """Return a random RGB image of the class `label`."""
    width, height = (int(side) for side in stream.integers(70, 161, 2))
    image = _ground(width, height, stream)
    for _ in range(int(stream.integers(5, 9))):
        size = int(min(width, height) * stream.uniform(0.35, 0.7))
        mask = Image.new("L", (size, size))
        _figure(ImageDraw.Draw(mask), FIGURES[label % len(FIGURES)], size)
        mask = mask.rotate(stream.uniform(-20, 20), Image.Resampling.BILINEAR)
        paint = _paint(label, size, stream)
        left, upper = (int(stream.integers(-size // 4, side - 3 * size // 4)) for side in (width, height))
        image.paste(paint, (left, upper), mask)
    pixels = np.asarray(image) + stream.normal(0, stream.uniform(2, 12), (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _ground(width: int, height: int, stream: Stream) -> Image.Image:
    """Return a background: a dull colour with soft spots."""
    colour = _rgb(stream.uniform(), stream.uniform(0, 0.1), stream.uniform(0.3, 0.8))
    spots = stream.normal(0, 20, (6, 6, 1)) + np.array(colour)
    small = Image.fromarray(spots.clip(0, 255).astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def _paint(label: int, size: int, stream: Stream) -> Image.Image:
    """Return a square in a shade of the class's hue, with dark stripes for the second half of the classes."""
    hue = (label + stream.uniform(-0.25, 0.25)) / len(HUES)
    colour = _rgb(hue, stream.uniform(0.5, 1), stream.uniform(0.5, 1))
    pixels: npt.NDArray[np.float64] = np.full((size, size, 3), colour)
    if label >= len(FIGURES):
        across, angle = np.arange(size), stream.uniform(0, math.pi)
        along = np.cos(angle) * across[:, None] + np.sin(angle) * across[None, :]
        stripes = (along / stream.uniform(5, 9) + stream.uniform()) % 1 < 0.5
        pixels[stripes] *= 0.35
    return Image.fromarray(pixels.astype(np.uint8))


def _figure(pen: ImageDraw.ImageDraw, figure: str, size: int) -> None:
    """Draw the figure in white on a black square of `size` pixels."""
    edge, third = size // 8, size // 3
    match figure:
        case "disc":
            pen.ellipse((edge, edge, size - edge, size - edge), fill=255)
        case "square":
            pen.rectangle((edge, edge, size - edge, size - edge), fill=255)
        case "triangle":
            pen.polygon(((size // 2, edge), (edge, size - edge), (size - edge, size - edge)), fill=255)
        case "cross":
            pen.rectangle((third, edge, size - third, size - edge), fill=255)
            pen.rectangle((edge, third, size - edge, size - third), fill=255)
        case "ring":
            pen.ellipse((edge, edge, size - edge, size - edge), outline=255, width=max(3, size // 6))


def _rgb(hue: float, saturation: float, brightness: float) -> tuple[float, float, float]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, brightness)
    return 255 * red, 255 * green, 255 * blue
