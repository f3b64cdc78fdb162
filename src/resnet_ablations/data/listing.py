"""Which images a folder `root/{train,test}/CLASS/*.{png,jpg,jpeg}` holds, in the order of the arrays."""

import os
from pathlib import Path
from typing import Final, NamedTuple

from resnet_ablations.errors import UserError

SPLITS: Final = ("train", "test")
SUFFIXES: Final = (".png", ".jpg", ".jpeg")


class ImageFile(NamedTuple):
    """One image: `path` below the root with `/`, size in bytes, time of change in ns, index of its class."""

    path: str
    size: int
    modified: int
    label: int


class Listing(NamedTuple):
    """The images below a root, sorted by class and then by file name (by code point, so alike on every machine)."""

    classes: list[str]
    train: list[ImageFile]
    test: list[ImageFile]


def list_images(root: Path) -> Listing:
    """What is below `root`; opens no file, ignores hidden and other files.

    Raise `UserError`, with up to five problems, unless both parts have the same class folders and images in each.
    """
    if not os.path.lexists(root):
        raise UserError(
            f"data.root={root}: {root} does not exist; point data.root at a folder with train/CLASS/ and test/CLASS/"
        )
    problems: list[str] = []
    folders = {split: _class_folders(root / split, problems) for split in SPLITS}
    if problems:
        raise UserError(*problems)
    for split, other in (SPLITS, SPLITS[::-1]):
        problems += [
            f"{root / split / name}: no such folder, while {root / other / name} is there; "
            "train and test must have the same classes: add the one or remove the other"
            for name in sorted(set(folders[other]) - set(folders[split]))
        ]
    files: dict[str, list[ImageFile]] = {split: [] for split in SPLITS}
    for split in SPLITS:
        for label, name in enumerate(folders[split]):
            files[split] += _image_files(root, f"{split}/{name}", label, problems)
    if problems:
        raise UserError(*problems[:5])
    return Listing(folders["train"], files["train"], files["test"])


def _class_folders(folder: Path, problems: list[str]) -> list[str]:
    """The names of the class folders, sorted; adds to `problems` where there are none."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        problems.append(f"{folder}: no such folder; images go into {folder.parent}/{{train,test}}/CLASS/")
        return []
    except OSError as error:
        problems.append(f"{error.filename}: cannot be read ({error.strerror}); mend or remove it")
        return []
    if not names:
        problems.append(f"{folder}: no class folders; images go into {folder}/CLASS/")
    return names


def _image_files(root: Path, below: str, label: int, problems: list[str]) -> list[ImageFile]:
    """The images of one class folder, sorted by name; adds to `problems` where there are none."""
    folder = root / below
    try:
        with os.scandir(folder) as entries:
            files = [
                ImageFile(f"{below}/{entry.name}", status.st_size, status.st_mtime_ns, label)
                for entry in entries
                if entry.name[0] != "." and entry.name.lower().endswith(SUFFIXES) and not entry.is_dir()
                for status in [entry.stat()]
            ]
    except OSError as error:
        problems.append(f"{error.filename}: cannot be read ({error.strerror}); mend or remove it")
        return []
    if not files:
        problems.append(f"{folder}: no {', '.join(SUFFIXES)} images; put some there or remove the folder")
    return sorted(files)
