"""Which images a folder `root/{train,test}/CLASS/*.{png,jpg,jpeg}` holds, in the order of the arrays.

The test images of ImageNet's layout lie in `val`.
"""

import os
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError

SUFFIXES: Final = (".png", ".jpg", ".jpeg")


class Part(NamedTuple):
    """Images sorted by class and then by file name (by code point, so alike on every machine)."""

    paths: npt.NDArray[np.str_]
    """Below the root, with `/`"""
    labels: npt.NDArray[np.int64]
    """Each the index of its class"""


class Listing(NamedTuple):
    """The images below a root, and the names of their classes, sorted."""

    classes: list[str]
    train: Part
    test: Part


def list_images(root: Path, test: Literal["test", "val"] = "test") -> Listing:
    """What is below `root/train` and, for testing, `root/TEST`; looks at names only, ignores hidden and other files.

    Raise `UserError`, with up to five problems, unless both parts have the same class folders and images in each.
    Say on stderr how far it is where it takes long.
    """
    splits = ("train", test)
    if not os.path.lexists(root):
        raise UserError(
            f"data.root={root}: {root} does not exist; point data.root at a folder with train/CLASS/ and {test}/CLASS/"
        )
    problems: list[str] = []
    folders = {split: _class_folders(root, split, splits, problems) for split in splits}
    if problems:
        raise UserError(*problems)
    for split, other in (splits, splits[::-1]):
        problems += [
            f"{root / split / name}: no such folder, while {root / other / name} is there; "
            f"train and {test} must have the same classes: add the one or remove the other"
            for name in sorted(set(folders[other]) - set(folders[split]))
        ]
    parts = {split: _part(root, split, folders[split], problems) for split in splits}
    if problems:
        raise UserError(*problems[:5])
    return Listing(folders["train"], parts["train"], parts[test])


def wrong_classes(root: Path, listing: Listing, classes: int) -> list[str]:
    """The complaint if there are not as many classes as `data.classes` says."""
    names = listing.classes
    if len(names) == classes:
        return []
    some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return [
        f"data.classes={classes}: {root}/train has {len(names)} class folders ({some}); set data.classes={len(names)}"
    ]


def _class_folders(root: Path, split: str, splits: tuple[str, str], problems: list[str]) -> list[str]:
    """The names of the class folders of a split, sorted; adds to `problems` where there are none."""
    folder = root / split
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        problems.append(f"{folder}: no such folder; images go into {root}/{{{','.join(splits)}}}/CLASS/")
        return []
    except OSError as error:
        problems.append(f"{error.filename}: cannot be read ({error.strerror}); mend or remove it")
        return []
    if not names:
        problems.append(f"{folder}: no class folders; images go into {folder}/CLASS/")
    return names


def _part(root: Path, split: str, classes: list[str], problems: list[str]) -> Part:
    """The images of a split; adds to `problems` where a class has none."""
    paths: list[str] = []
    counts = []
    progress = ProgressLines(f"listing {root / split}")
    for done, name in enumerate(classes, start=1):
        names = _image_names(root / split / name, problems)
        paths += [f"{split}/{name}/{image}" for image in names]
        counts.append(len(names))
        progress.at(done, len(classes), "classes")
    return Part(np.array(paths, np.str_), np.repeat(np.arange(len(classes), dtype=np.int64), counts))


def _image_names(folder: Path, problems: list[str]) -> list[str]:
    """The names of the images of one class folder, sorted; adds to `problems` where there are none."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.name[0] != "." and entry.name.lower().endswith(SUFFIXES) and not entry.is_dir()
            ]
    except OSError as error:
        problems.append(f"{error.filename}: cannot be read ({error.strerror}); mend or remove it")
        return []
    if not names:
        problems.append(f"{folder}: no {', '.join(SUFFIXES)} images; put some there or remove the folder")
    return sorted(names)
