"""The output of a command, which outlives its reader."""

import io
import os
import select
import sys
from typing import final


def survive_lost_output() -> None:
    """Let the process go on if something cannot be printed to stdout or stderr.

    The text is lost if the reader has ended (`| head -1`, a closed terminal) or the disk is full (`> log.txt`).
    Characters that the encoding does not have are escaped. A closed stdout or stderr is opened as the null device.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            if _is_open(number):
                continue  # another file was opened in its place
            # If stdin is closed too, its number is the next free one. The processes of runs start with this file.
            if (descriptor := os.open(os.devnull, os.O_WRONLY)) != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.set_inheritable(number, True)
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(_Output(number)), encoding="utf-8"))
        elif stream is getattr(sys, f"__{name}__"):  # nobody has replaced it yet
            stream.flush()
            wrapper = io.TextIOWrapper(
                io.BufferedWriter(_Output(stream.fileno())),
                encoding=stream.encoding,
                errors="backslashreplace" if stream.errors == "strict" else stream.errors,
                line_buffering=stream.line_buffering or stream.write_through,
                write_through=stream.write_through,
            )
            setattr(sys, name, wrapper)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


_told: set[str] = set()


def tell_once(line: str) -> None:
    """Print a line on stderr, once in a process."""
    if line not in _told:
        _told.add(line)
        print(line, file=sys.stderr, flush=True)


@final
class _Output(io.RawIOBase):
    """A file descriptor whose write errors are ignored."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        while True:
            try:
                return os.write(self._number, view)
            except BlockingIOError:  # another program has set the terminal to non-blocking
                select.select([], [self._number], [])
            except OSError:
                return view.nbytes
