"""Lists of the images in a folder `root/{train,test}/CLASS/*.{png,jpg,jpeg}`.

In ImageNet's layout the folder of the test images is `val`.
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
    """The images of one split, sorted by class, then by file name; the order, by code point, is the same everywhere."""

    paths: npt.NDArray[np.str_]
    """Paths below the root, with `/`."""
    labels: npt.NDArray[np.int64]
    """The index of each image's class."""


class Listing(NamedTuple):
    """The images below a root, and the sorted names of their classes."""

    classes: list[str]
    train: Part
    test: Part


def list_images(root: Path, test: Literal["test", "val"] = "test") -> Listing:
    """Return the images below `root/train` and below `root/test` or `root/val`, as `test` says.

    Only names are read; hidden files and files that are no images are ignored. Print progress on stderr if listing is
    slow. Raise `UserError`, with up to five problems, unless both splits have the same class folders, and images in
    each of them.
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
            f"train and {test} must have the same classes: add the first folder or remove the second"
            for name in sorted(set(folders[other]) - set(folders[split]))
        ]
    parts = {split: _part(root, split, folders[split], problems) for split in splits}
    if problems:
        raise UserError(*problems[:5])
    return Listing(folders["train"], parts["train"], parts[test])


def wrong_classes(root: Path, listing: Listing, classes: int) -> list[str]:
    """Return an error message if the number of classes is not `classes`, else an empty list."""
    names = listing.classes
    if len(names) == classes:
        return []
    some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return [
        f"data.classes={classes}: {root}/train has {len(names)} class folders ({some}); set data.classes={len(names)}"
    ]


def _class_folders(root: Path, split: str, splits: tuple[str, str], problems: list[str]) -> list[str]:
    """Return the sorted names of a split's class folders; add a problem if there are none."""
    folder = root / split
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        problems.append(f"{folder}: no such folder; put images into {root}/{{{','.join(splits)}}}/CLASS/")
        return []
    except OSError as error:
        problems.append(f"{error.filename}: cannot be read ({error.strerror}); repair or remove it")
        return []
    if not names:
        problems.append(f"{folder}: no class folders; put images into {folder}/CLASS/")
    return names


def _part(root: Path, split: str, classes: list[str], problems: list[str]) -> Part:
    """Return the images of a split; add a problem for each class without images."""
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
    """Return the sorted names of the images in one class folder; add a problem if there are none."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.name[0] != "." and entry.name.lower().endswith(SUFFIXES) and not entry.is_dir()
            ]
    except OSError as error:
        problems.append(f"{error.filename}: cannot be read ({error.strerror}); repair or remove it")
        return []
    if not names:
        problems.append(f"{folder}: no {', '.join(SUFFIXES)} images; put some there or remove the folder")
    return sorted(names)
