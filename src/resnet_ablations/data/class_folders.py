"""The files of one class folder, at any depth: images, files that are passed over, and files that are refused."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""The suffixes of images: those of torchvision's `ImageFolder`."""

NOTES: Final = (
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".md", ".rst", ".html", ".htm"),
    *(".log", ".ini", ".cfg", ".py", ".sh", ".md5", ".sha1", ".sha256"),
)
"""The suffixes of text files, such as annotations and checksums, which lie beside images and are passed over."""

NOTE_NAMES: Final = frozenset(
    {"readme", "license", "licence", "copying", "authors", "makefile", "md5sums", "sha256sums"}
)
SYSTEM_NAMES: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
SYSTEM_FOLDERS: Final = frozenset({"__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information"})
ARCHIVES: Final = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")

HIDDEN: Final = "hidden or the system's own"
TEXT: Final = "text"


@dataclass
class Contents:
    """The sorted images of a folder, as paths below it with `/`, and what the folder has besides."""

    images: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    """The number of files and folders passed over, by reason."""
    refused: list[str] = field(default_factory=list)
    """The paths below the folder of other files. They may be images, so they must not be passed over silently."""
    problems: list[str] = field(default_factory=list)
    """Messages about entries that cannot be read."""


def kind_of(name: str) -> str:
    """Return the kind of a file by its name: `image`, the reason to pass over it, or `other`."""
    lower = name.lower()
    if lower.startswith(".") or lower in SYSTEM_NAMES:
        return HIDDEN
    if lower.endswith(SUFFIXES):
        return "image"
    return TEXT if lower.endswith(NOTES) or lower in NOTE_NAMES else "other"


def is_hidden_folder(name: str) -> bool:
    """Return whether a folder is hidden, or is one that a system makes by itself, such as `__MACOSX`."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def contents_of(folder: Path) -> Contents:
    """Return the images in a folder and in its folders at any depth; links are followed.

    Only names are read. A link to a folder that contains the link is a problem, because its images have no end.
    """
    found = Contents()
    folders = [("", frozenset({_identity(folder)}))]
    while folders:
        below, above = folders.pop()
        for entry in _entries(folder / below, found.problems):
            path = below + entry.name
            if not is_directory(entry):
                _sort_file(found, folder, path, entry)
            elif is_hidden_folder(entry.name):
                found.passed_over[HIDDEN] += 1
            elif (identity := _identity(folder / path)) in above:
                found.problems.append(f"{folder / path}: a link to a folder that contains it; remove the link")
            else:
                folders.append((f"{path}/", above | {identity}))
    found.images.sort()
    found.refused.sort()
    return found


def _sort_file(found: Contents, folder: Path, path: str, entry: "os.DirEntry[str]") -> None:
    kind = kind_of(entry.name)
    if kind == "other":
        found.refused.append(path)
    elif kind != "image":
        found.passed_over[kind] += 1
    elif reason := unreadable(entry):
        found.problems.append(f"{folder / path}: {reason}; repair or remove it")
    else:
        found.images.append(path)


def unreadable(entry: "os.DirEntry[str]") -> str:
    """Return why an entry is no file that can be read, such as a link to nothing or a pipe; "" if it is one."""
    try:
        if entry.is_file():
            return ""
        entry.stat()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "no regular file"


def is_directory(entry: "os.DirEntry[str] | Path") -> bool:
    """Return whether the entry is a folder or a link to one; False for a broken link, or if it cannot be reached."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: Path, problems: list[str]) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        problems.append(f"{error.filename}: cannot be read ({error.strerror}); repair or remove it")


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return the numbers of a folder's device and of the folder, which are the same through every link."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
