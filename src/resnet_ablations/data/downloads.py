"""Downloads into `data.root`, once, with an MD5 check of each file before its use.

A file is downloaded or unpacked in a staging folder and then renamed into place. So an existing file of the data set
is always complete, and an interrupted download cannot leave a file with a wrong checksum.
"""

import os
import shutil
import socket
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Final

from resnet_ablations.data.progress import shared_work
from resnet_ablations.errors import UserError, reason_of

SECONDS_WITHOUT_DATA: Final = 60
"""Seconds without data after which a download fails."""


def check_root(root: Path, files: Callable[[], Iterable[Path]]) -> None:
    """Raise `UserError` unless `root` is a folder to download to, or all `files` exist.

    A missing `root` is allowed if its parent exists. It is never created at the top of the file system, because a
    mistyped path would end there.
    """
    try:
        problem = _root_problem(root, files)
    except OSError as error:
        problem = f"cannot be read ({reason_of(error)}); make it readable or point data.root at another folder"
    if problem:
        raise UserError(f"data.root={root}: {problem}")


def _root_problem(root: Path, files: Callable[[], Iterable[Path]]) -> str | None:
    parent = root.absolute().parent
    if not os.path.lexists(root):  # tested first, because another process may create the folder at any time
        if not parent.is_dir() or parent == Path(parent.anchor):
            return f"{root} does not exist; create it or point data.root at an existing folder"
        if not os.access(parent, os.W_OK | os.X_OK):
            return f"{root} does not exist and {parent} cannot be written; point data.root at an existing folder"
    elif not root.is_dir():
        return "not a folder; point data.root at an existing folder"
    elif not os.access(root, os.W_OK | os.X_OK) and not all(path.exists() for path in files()):
        return (
            "the data set is missing and the folder cannot be written; "
            "make it writable or point data.root at another folder"
        )
    return None


def missing(files: Mapping[Path, str]) -> list[Path]:
    """Return the missing files of `files` (path → MD5); raise `UserError` if an existing file has another checksum."""
    from torchvision.datasets.utils import calculate_md5

    absent, problems = [], []
    for path, md5 in files.items():
        try:
            found = calculate_md5(path)
        except FileNotFoundError:
            absent.append(path)
        except OSError as error:
            problems.append(f"{path}: cannot be read ({reason_of(error)}); make it readable or remove it")
        else:
            if found != md5:
                wrong = f"wrong checksum (MD5 {found}, expected {md5})"
                problems.append(f"{path}: {wrong}; delete it and run again to download it again")
    if problems:
        raise UserError(*problems[:5])
    return absent


@contextmanager
def staging(root: Path, name: str) -> Iterator[Path]:
    """Give one process at a time an empty folder in `root` for incomplete files; other processes wait.

    Create `root` if its parent exists. Raise `UserError` if that fails, or if writing inside the context fails.
    """
    folder = root / f".download-{name}"
    try:
        root.mkdir(exist_ok=True)
        with shared_work(root / f".download-{name}.lock", f"preparing {name}"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except (OSError, NotImplementedError) as error:  # NotImplementedError: a file system without locks
        raise UserError(
            f"data.root={root}: cannot write there ({reason_of(error)}); "
            "make room or make it writable, or point data.root at another folder"
        ) from None


def fetch(path: Path, md5: str, urls: Iterable[str], folder: Path) -> None:
    """Download `path` through the staging `folder` from the first of `urls` that works, unless the file exists.

    Raise `UserError` if every URL fails, or if the existing file has another checksum.
    """
    from torchvision.datasets.utils import download_url

    if not missing({path: md5}):
        return
    urls = list(urls)
    for url in urls:
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(SECONDS_WITHOUT_DATA)
        try:
            download_url(url, folder, path.name, md5)
            break
        except (OSError, RuntimeError, HTTPException) as error:
            reason = reason_of(error)
        finally:
            socket.setdefaulttimeout(before)
    else:
        raise UserError(
            f"{path}: missing, and its download failed ({reason}); download {urls[0]} by hand and put it there, "
            "or use data=image_folder or data=digits"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / path.name).replace(path)


def unpack(archive: Path, root: Path, files: Iterable[Path], folder: Path) -> None:
    """Unpack the missing `files`, which lie below `root`, from `archive` through the staging `folder`."""
    with tarfile.open(archive) as tar:
        for path in files:
            packed = None if path.exists() else tar.extractfile(path.relative_to(root).as_posix())
            if packed is not None:
                with packed, (folder / path.name).open("wb") as staged:
                    shutil.copyfileobj(packed, staged)
                path.parent.mkdir(parents=True, exist_ok=True)
                (folder / path.name).replace(path)
