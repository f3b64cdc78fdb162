"""Layouts of folders that are nearly the right one, and what to do about each."""

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from resnet_ablations.data.class_folders import ARCHIVES, kind_of

SPLITS: Final = {
    "train": ("train", "training", "trn"),
    "test": ("test", "val", "valid", "validation", "testing", "eval", "dev"),
}
"""The words for training and test images in the names of folders, the most frequent first."""

DOWNLOADED: Final = {
    "cifar-10-batches-py": "cifar10",
    "cifar-10-python.tar.gz": "cifar10",
    "cifar-100-python": "cifar100",
    "cifar-100-python.tar.gz": "cifar100",
    "FashionMNIST": "fashion_mnist",
}
"""The folders and archives of the data sets that have an option of their own, and that option."""

OTHER_VERSIONS: Final = {
    "cifar-10-batches-bin": "cifar10",
    "cifar-10-binary.tar.gz": "cifar10",
    "cifar-10-batches-mat": "cifar10",
    "cifar-10-matlab.tar.gz": "cifar10",
    "cifar-100-binary": "cifar100",
    "cifar-100-binary.tar.gz": "cifar100",
    "cifar-100-matlab": "cifar100",
    "cifar-100-matlab.tar.gz": "cifar100",
}
"""The folders and archives of versions for other languages, which no option reads, and the option for the images."""

CONTENT: Final = {
    "cifar-10-batches-py": ("data_batch_1",),
    "cifar-100-python": ("meta", "train", "test"),
    "FashionMNIST": ("raw/train-images-idx3-ubyte.gz",),
}
"""Files of the unpacked data sets, by which a folder of any name is recognised."""

LOOKED_AT: Final = 500
"""The largest number of a folder's entries that are read; a hint must not cost a minute."""


def same_name(first: str, second: str) -> bool:
    """Return whether two names differ at most in their Unicode normal form or in capitals."""
    return _plain(first) == _plain(second)


def difference(first: str, second: str) -> str:
    """Return how two names that are `same_name` differ."""
    if unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second):
        return f"only in the Unicode form ({_form(first)} and {_form(second)})"
    return "only in capitals" if first.lower() == second.lower() else "only in capitals and the Unicode form"


def alike(name: str, names: Iterable[str]) -> str | None:
    """Return the first of `names` that is another spelling of `name`."""
    return next((other for other in names if other != name and same_name(name, other)), None)


def hint(root: Path, test: str) -> str | None:
    """Return what a folder without `train` or `test` probably is, and what to do; None if unknown."""
    try:
        return next((found for look in LOOKS if (found := look(root, test))), None)
    except OSError:
        return None


def hint_for_missing(root: Path) -> str | None:
    """Return a folder that exists and is named like the missing `root`."""
    try:
        other = alike(root.name, _names(root.parent))
    except OSError:
        return None
    return other and f"{root.parent / other} is there, whose name differs {difference(root.name, other)}"


def hint_for_downloads(root: Path, base: str) -> str | None:
    """Return what to do if `root` is the unpacked data set `base` itself, not the folder that contains it."""
    try:
        inside = _has_content_of(root, base) and not (root / base).exists()
    except OSError:
        return None
    return f"is the unpacked data set itself; set data.root={root.absolute().parent}" if inside else None


def _downloaded(root: Path, test: str) -> str | None:
    not_read = ", which is not read; the Python version of the data set is downloaded by"
    for known, advice in ((DOWNLOADED, "; use"), (OTHER_VERSIONS, not_read)):
        for folder in (root, *root.absolute().parents[:2]):
            if option := known.get(folder.name):
                return f"belongs to {folder.name}{advice} data={option} data.root={folder.absolute().parent}"
        for name, option in known.items():
            if (root / name).exists():
                return f"contains {name}{advice} data={option} data.root={root}"
    for name, files in CONTENT.items():
        if _has_content_of(root, name):
            parent = root.absolute().parent
            return (
                f"contains {files[0]} of {name}; rename it to {parent / name} and use "
                f"data={DOWNLOADED[name]} data.root={parent}"
            )
    return None


def _has_content_of(root: Path, base: str) -> bool:
    """Return whether `root` is the unpacked data set `base`, whatever its name is."""
    return all((root / name).is_file() for name in CONTENT[base])


def _archive(root: Path, test: str) -> str | None:
    if root.is_file():
        what = "an archive; unpack it and" if root.name.lower().endswith(ARCHIVES) else "a file;"
        return f"is {what} point data.root at the folder of the images"
    archives = [name for name in _names(root) if name.lower().endswith(ARCHIVES)]
    if archives and not any(True for _ in _folders(root)):
        return f"contains {archives[0]}, which is not unpacked; unpack it"
    return None


def _other_level(root: Path, test: str) -> str | None:
    """Return a hint if the right folder is above `root` or below it."""
    near = [*root.absolute().parents[:2], *islice(_below(root, depth=3), LOOKED_AT)]
    if right := next((folder for folder in near if _is_divided(folder, test)), None):
        return f"has no train and {test}, but {right} has; set data.root={right}"
    return None


def _is_divided(folder: Path, test: str) -> bool:
    """Return whether a folder has `train` and `test`, and is not itself a class that is divided into them."""
    has_both = (folder / "train").is_dir() and (folder / test).is_dir()
    return has_both and any(True for _ in _folders(folder / "train"))


def _below(root: Path, depth: int) -> Iterator[Path]:
    for folder in _folders(root) if depth else ():
        yield folder
        yield from _below(folder, depth - 1)


def _renamed(root: Path, test: str) -> str | None:
    """Return a hint if the folders of training and test images have other names."""
    folders = {folder.name for folder in _folders(root)}
    pairs = _splits_among(folders, test)
    if len(pairs) > 1 and not folders & {"train", test}:
        some = ", ".join(f"{pair['train']} and {pair[test]}" for pair in pairs[:3])
        return (
            f"has several pairs of training and test images ({some}); give each a root of its own, as train and {test}"
        )
    pair = pairs[0] if pairs else {}
    others = {split: name for split, name in pair.items() if split not in folders}
    if not others:
        return None
    renamed = " and ".join(f"{other} to {name}" for name, other in others.items())
    return f"rename {renamed}, or make a link of that name" + _other_option(test, others, folders)


def _splits_among(names: Iterable[str], test: str) -> list[dict[str, str]]:
    """Return the pairs of names that stand for training and for test images, by `train` and `test`.

    `Training_set` stands for training images, also alone. A name with words of another kind, such as `seg_train`, does
    so only beside its counterpart `seg_test`, since `train_station` is a class. Of several names for the same images,
    the one wanted comes first.
    """
    found: dict[tuple[str, ...], dict[str, tuple[bool, int, str]]] = {}
    wanted = {"val": ("val", "valid", "validation")}.get(test, (test,))
    for name in sorted(names):
        parts = re.findall(r"[^\W\d_]+|\d+", name.lower())
        words = list(filter(None, (re.sub(r"(data)?(set|data|images|imgs|split)$", "", part) for part in parts)))
        for split, known in SPLITS.items():
            if len(own := [word for word in words if word in known]) == 1:
                pair = found.setdefault(tuple(word for word in words if word not in own), {})
                rank = own[0] not in wanted, known.index(own[0]), name
                pair[split] = min(rank, pair.get(split, rank))
    alone = found.pop((), {})
    pairs = [alone] if alone else [pair for _, pair in sorted(found.items()) if len(pair) == len(SPLITS)]
    called = {"train": "train", "test": test}
    return [{called[split]: pair[split][-1] for split in SPLITS if split in pair} for pair in pairs]


def _other_option(test: str, others: dict[str, str], folders: Container[str]) -> str:
    option = {"test": "imagenet", "val": "image_folder"}[test]
    reads = {"test": "val", "val": "test"}[test]
    return (
        f"; or use data={option}, which reads train and {reads}"
        if others == {test: reads} and "train" in folders
        else ""
    )


def _splits_in_classes(root: Path, test: str) -> str | None:
    """Return a hint if each class folder is divided into training and test images."""
    for folder in _folders(root):
        leaves = (below for below in _folders(folder) if _has_images(below) and not any(True for _ in _folders(below)))
        inside = _splits_among((below.name for below in leaves), test)
        if inside and len(inside[0]) == len(SPLITS):
            some = ", ".join(f"{folder.name}/{name}" for name in inside[0].values())
            return (
                f"is divided into classes first ({some}); move the images into "
                f"train/{folder.name} and {test}/{folder.name}, and so for each class"
            )
    return None


def _undivided(root: Path, test: str) -> str | None:
    """Return a hint if the class folders are in `root` itself."""
    classes = [folder.name for folder in _folders(root) if _has_images(folder)]
    if not classes or {"train", test} & set(classes):
        return None
    some = ", ".join(classes[:3]) + (", …" if len(classes) > 3 else "")
    return f"has folders of images ({some}), but they are not divided into train and {test}; divide them"


LOOKS: Final = (_downloaded, _archive, _renamed, _splits_in_classes, _other_level, _undivided)


def _has_images(folder: Path) -> bool:
    return any(kind_of(name) == "image" for name in _names(folder))


def _names(folder: Path) -> list[str]:
    return [path.name for path in islice(folder.iterdir(), LOOKED_AT)]


def _folders(folder: Path) -> Iterator[Path]:
    paths = sorted(islice(folder.iterdir(), LOOKED_AT))
    return (path for path in paths if not path.name.startswith(".") and path.is_dir())


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _form(name: str) -> str:
    return next((form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, name)), "mixed")
