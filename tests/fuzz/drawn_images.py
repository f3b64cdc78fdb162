"""Folders of images drawn at random, with oddities that are harmless and others for which a folder must be refused."""

import os
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

Pixels = bytes

NAMES = (
    *(
        "a",
        "B",
        "cat",
        "0",
        "n01440764",
        "émeu",
        "日本",
        "with space",
        "-dash",
        "a=b,c",
        "'q'",
        "x" * 60,
        "%s",
        "$HOME",
    ),
    "[1]",
)
FILES = (
    *("a.png", "B.PNG", "1.png", " b.png", "-.png", "é.png", "a'b.png", "line\nend.png", "$x.png", "c.d.png"),
    os.fsdecode(b"\xe9.png"),
)


@dataclass
class Drawn:
    """A folder of images and what a data set of it must hold: the pixels and the class of each image, by its path."""

    root: Path
    test: str
    size: tuple[int, int]
    classes: list[str]
    images: dict[str, tuple[Pixels, int]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """The oddities for which the folder must be refused."""

    def add(self, draw: random.Random, split: str, label: int, name: str) -> str:
        """Write a new image; return its path below the root."""
        path = f"{split}/{self.classes[label]}/{name}"
        pixels = np.frombuffer(draw.randbytes(self.size[0] * self.size[1] * 3), np.uint8).reshape(*self.size, 3)
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(self.root / path, "PNG")
        self.images[path] = (pixels.tobytes(), label)
        return path


def draw_folder(draw: random.Random, root: Path, test: str, oddities: int) -> Drawn:
    """Write a folder of images with some oddities."""
    size = (draw.randint(5, 7), draw.randint(5, 7))
    drawn = Drawn(root, test, size, sorted(draw.sample(NAMES, draw.randint(2, 4))))
    for split in ("train", test):
        for label in range(len(drawn.classes)):
            for name in draw.sample(FILES, draw.randint(2 if split == "train" else 1, 4)):
                drawn.add(draw, split, label, name)
    both = (*HARMLESS, *REFUSED)
    for oddity in sorted(draw.sample(both, oddities), key=both.index):
        oddity(draw, drawn)
        if oddity in REFUSED:
            drawn.refused.append(oddity.__name__)
    return drawn


def place(draw: random.Random, drawn: Drawn, name: str) -> Path:
    """Return the path of a new file in a class folder of the training images."""
    return drawn.root / "train" / draw.choice(drawn.classes) / name


# Harmless


def hidden(draw: random.Random, drawn: Drawn) -> None:
    place(draw, drawn, draw.choice((".DS_Store", "._a.png", ".x.png", "Thumbs.db"))).write_bytes(draw.randbytes(9))


def text(draw: random.Random, drawn: Drawn) -> None:
    place(draw, drawn, draw.choice(("labels.csv", "README", "a.txt", "a.json", "LICENSE.md"))).write_text("a,b")


def beside(draw: random.Random, drawn: Drawn) -> None:
    (drawn.root / draw.choice(("", "train", drawn.test)) / draw.choice(("notes.txt", "x.bin", "a.png"))).write_bytes(
        b"x"
    )


def more_folders(draw: random.Random, drawn: Drawn) -> None:
    (drawn.root / draw.choice(("extra", ".git", "train/.cache", "labels"))).mkdir(exist_ok=True)


def below(draw: random.Random, drawn: Drawn) -> None:
    drawn.add(draw, "train", draw.randrange(len(drawn.classes)), f"deep/{draw.choice(('é', 'x y', '0'))}/z.png")


def linked(draw: random.Random, drawn: Drawn) -> None:
    path, (pixels, label) = draw.choice([one for one in drawn.images.items() if one[0].startswith("train")])
    link = f"train/{drawn.classes[label]}/linked.png"
    (drawn.root / link).symlink_to(drawn.root / path)
    drawn.images[link] = (pixels, label)


def linked_root(draw: random.Random, drawn: Drawn) -> None:
    link = drawn.root.with_name("link")
    link.symlink_to(drawn.root)
    drawn.root = link


# Refused


def other_suffix(draw: random.Random, drawn: Drawn) -> None:
    place(draw, drawn, draw.choice(("a.gif", "b.heic", "noname", "c.zip", "d.png.part", "e.npy"))).write_bytes(b"x")


def truncated(draw: random.Random, drawn: Drawn) -> None:
    path = drawn.root / draw.choice(sorted(drawn.images))
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content) - 20)])


def nonsense(draw: random.Random, drawn: Drawn) -> None:
    place(draw, drawn, "nonsense.png").write_bytes(
        draw.choice((b"", b"\x89PNG\r\n\x1a\n", draw.randbytes(90), b"GIF89a", b"BM"))
    )


def bomb(draw: random.Random, drawn: Drawn) -> None:
    """Write the header of a PNG of 4 GB and more."""
    header = struct.pack(">IIBBBBB", 2 ** draw.randint(16, 30), 2**16, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"x" * 99)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    place(draw, drawn, "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def deep_colours(draw: random.Random, drawn: Drawn) -> None:
    Image.fromarray(np.full(drawn.size, 40_000, np.uint16)).save(place(draw, drawn, "deep.png"))


def pages(draw: random.Random, drawn: Drawn) -> None:
    page = Image.new("RGB", drawn.size[::-1])
    page.save(place(draw, drawn, "pages.tif"), save_all=True, append_images=[page])


def dead_link(draw: random.Random, drawn: Drawn) -> None:
    place(draw, drawn, "dead.png").symlink_to("nowhere")


def circle(draw: random.Random, drawn: Drawn) -> None:
    place(draw, drawn, "circle").symlink_to("..", target_is_directory=True)


def pipe(draw: random.Random, drawn: Drawn) -> None:
    os.mkfifo(place(draw, drawn, "pipe.png"))


def class_missing(draw: random.Random, drawn: Drawn) -> None:
    (drawn.root / draw.choice(("train", drawn.test)) / "only here").mkdir()


def split_missing(draw: random.Random, drawn: Drawn) -> None:
    (drawn.root / draw.choice(("train", drawn.test))).rename(drawn.root / "elsewhere")


Oddity = Callable[[random.Random, Drawn], None]
HARMLESS: tuple[Oddity, ...] = (hidden, text, beside, more_folders, below, linked, linked_root)
REFUSED: tuple[Oddity, ...] = (
    *(other_suffix, truncated, nonsense, bomb, deep_colours, pages, dead_link, circle, pipe, class_missing),
    split_missing,  # last, because the others change the folders of both splits
)


# Changes of a folder after a run was composed


def change(draw: random.Random, drawn: Drawn) -> bool:
    """Change something; return whether the data set is another one."""
    files = sorted(path for path in drawn.images if not (drawn.root / path).is_symlink())
    path = drawn.root / draw.choice(files)
    kind = draw.choice(("nothing", "hidden", "touch", "bit", "other", "delete", "rename", "add", "swap"))
    before = path.stat()
    if kind == "hidden":
        hidden(draw, drawn)
    elif kind == "touch":
        os.utime(path)
    elif kind == "bit":
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif kind == "other":
        Image.new("RGB", drawn.size[::-1]).save(path, "PNG")
    elif kind == "delete":
        path.unlink()
    elif kind == "rename":
        path.rename(path.with_name("zz renamed.png"))
    elif kind == "add":
        drawn.add(draw, "train", 0, "zz new.png")
    elif kind == "swap":
        other = drawn.root / draw.choice(files)
        first, second = path.read_bytes(), other.read_bytes()
        path.write_bytes(second)
        other.write_bytes(first)
        return first != second
    return kind not in ("nothing", "hidden", "touch")
