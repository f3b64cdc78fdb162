"""Lists of the images in a folder `root/{train,test}/CLASS/`; in ImageNet's layout the test images are in `val`."""

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from resnet_ablations.data.class_folders import (
    HIDDEN,
    SUFFIXES,
    TEXT,
    contents_of,
    is_directory,
    is_hidden_folder,
    kind_of,
)
from resnet_ablations.data.layouts import alike, difference, hint, hint_for_missing
from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError, printable
from resnet_ablations.output import tell_once

OUTSIDE: Final = "beside the class folders"


class Part(NamedTuple):
    """The images of one split, sorted by class, then by path; the order, by code point, is the same everywhere."""

    paths: npt.NDArray[np.str_]
    """Paths below the root, with `/`."""
    labels: npt.NDArray[np.int64]
    """The index of each image's class."""


class Listing(NamedTuple):
    """The images below a root, and the sorted names of their classes."""

    classes: list[str]
    train: Part
    test: Part

    @property
    def paths(self) -> list[str]:
        """The paths of all images below the root."""
        return [*self.train.paths.tolist(), *self.test.paths.tolist()]


class _Found:
    """Mistakes and files other than images that are found while a root is listed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []
        self.refused: list[str] = []
        """Paths below the root of files that may be images, but cannot be read as images."""
        self.passed_over: Counter[str] = Counter()

    def raise_problems(self) -> None:
        """Raise `UserError` with up to five problems, if there are any."""
        problems = self.problems
        if self.refused:
            kinds = Counter(Path(path).suffix.lower() or "without a suffix" for path in self.refused)
            counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(5))
            problems = [
                f"data.root={self.root}: {len(self.refused):,} files in class folders are not images of the "
                f"types {', '.join(SUFFIXES)} ({counts}), such as {self.refused[0]}; convert or remove them",
                *problems,
            ]
        if problems:
            raise UserError(*problems[:5])

    def tell_passed_over(self) -> None:
        """Print one line on what was passed over, once in a process."""
        if counts := ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.passed_over.items())):
            reason = "passed over files and folders that are no images of a class"
            tell_once(printable(f"data.root={self.root}: {reason}: {counts}"))


def list_images(root: Path, test: Literal["test", "val"] = "test") -> Listing:
    """Return the images below `root/train` and below `root/test` or `root/val`, as `test` says.

    An image of a class is a file with one of `SUFFIXES` in the class folder, or in its folders at any depth. Only names
    are read. Hidden files, text files and files beside the class folders are passed over, and so are files and folders
    beside the two splits, with one line on stderr; other files are refused, since they may be images. Print progress on
    stderr if listing is slow. Raise `UserError`, with up to five problems, unless both splits have the same class
    folders, and images in each of them.
    """
    splits = ("train", test)
    if not os.path.lexists(root):
        what = f"; {near}" if (near := hint_for_missing(root)) else ""
        raise UserError(
            f"data.root={root}: {root} does not exist{what}; point data.root at a folder with train/CLASS/ and "
            f"{test}/CLASS/"
        )
    found = _Found(root)
    missing = [split for split in splits if not is_directory(root / split)]
    if missing and (near := hint(root, test)):
        raise UserError(f"data.root={root}: {near}")
    folders = {split: _class_folders(split, splits, found) for split in splits}
    found.raise_problems()
    _compare_classes(splits, folders, found)
    parts = {split: _part(split, folders[split], found) for split in splits}
    found.raise_problems()
    _note_outside(splits, found)
    found.tell_passed_over()
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


def _class_folders(split: str, splits: tuple[str, str], found: _Found) -> list[str]:
    """Return the sorted names of a split's class folders; add a problem if there are none."""
    folder = found.root / split
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not is_directory(entry):
                    found.passed_over[HIDDEN if kind_of(entry.name) == HIDDEN else OUTSIDE] += 1
                elif is_hidden_folder(entry.name):
                    found.passed_over[HIDDEN] += 1
                else:
                    names.append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        found.problems.append(f"{folder}: no such folder; put images into {found.root}/{{{','.join(splits)}}}/CLASS/")
        return []
    except OSError as error:
        found.problems.append(f"{error.filename}: cannot be read ({error.strerror}); repair or remove it")
        return []
    if not names:
        found.problems.append(f"{folder}: no class folders; put images into {folder}/CLASS/")
    return sorted(names)


def _compare_classes(splits: tuple[str, str], folders: dict[str, list[str]], found: _Found) -> None:
    """Add a problem for each class that only one split has."""
    train, test = splits
    root = found.root
    if folders[test] == ["images"] and "images" not in folders["train"]:
        found.problems.append(
            f"{root / test}/images: the images of all classes are in one folder; move each into {root / test}/CLASS/ "
            f"(tiny-imagenet lists the classes in {test}_annotations.txt)"
        )
        return
    for split, other in (splits, splits[::-1]):
        unmatched = sorted(set(folders[split]) - set(folders[other]))
        for name in sorted(set(folders[other]) - set(folders[split])):
            if (spelling := alike(name, unmatched)) is None:
                found.problems.append(
                    f"{root / split / name}: no such folder, while {root / other / name} is there; "
                    f"train and {test} must have the same classes: add the first folder or remove the second"
                )
            elif split == train:
                found.problems.append(
                    f"{root / split / spelling} and {root / other / name}: the names differ "
                    f"{difference(spelling, name)}; rename one of the two folders"
                )


def _note_outside(splits: tuple[str, str], found: _Found) -> None:
    """Count files and folders beside the two splits as passed over, such as `val` beside `train` and `test`.

    Hidden files and folders and text files are not counted: they are in many roots and are no images.
    """
    files, folders = [], []
    with suppress(OSError), os.scandir(found.root) as entries:  # a root that may be searched and not listed is enough
        for entry in entries:
            if is_directory(entry):
                if entry.name not in splits and not is_hidden_folder(entry.name):
                    folders.append(entry.name)
            elif kind_of(entry.name) not in (HIDDEN, TEXT):
                files.append(entry.name)
    for names, what in ((files, "file"), (folders, "folder")):
        if names:
            shown = [name if len(name) <= 60 else f"{name[:59]}…" for name in sorted(names)[:3]]
            some = ", ".join(shown) + ", …" * (len(names) > 3)
            what += "s" * (len(names) > 1)
            found.passed_over[f"{what} beside {' and '.join(splits)} ({some})"] += len(names)


def _part(split: str, classes: list[str], found: _Found) -> Part:
    """Return the images of a split; add a problem for each class without images."""
    paths: list[str] = []
    counts = []
    progress = ProgressLines(f"listing {found.root / split}")
    for done, name in enumerate(classes, start=1):
        folder = found.root / split / name
        contents = contents_of(folder)
        paths += [f"{split}/{name}/{image}" for image in contents.images]
        counts.append(len(contents.images))
        found.problems += contents.problems
        found.passed_over += contents.passed_over
        found.refused += [f"{split}/{name}/{path}" for path in contents.refused]
        if not (contents.images or contents.problems or contents.refused):
            found.problems.append(f"{folder}: no {', '.join(SUFFIXES)} images; put some there or remove the folder")
        progress.at(done, len(classes), "classes")
    return Part(np.array(paths, np.str_), np.repeat(np.arange(len(classes), dtype=np.int64), counts))
