"""Cases of a random test: each has a seed and a limit of time, and all that fail are shown with their seeds."""

import random
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from resnet_ablations.errors import UserError

LIMIT_SECONDS = 120
"""More than any case takes on a busy machine: a case that takes longer hangs."""
SHOWN = 10

SHORT, LONG = "short", pytest.param("long", marks=pytest.mark.long)


class Hangs(BaseException):
    """The case takes too long. No `Exception`, which the code under test may handle."""


def run_cases(seeds: Iterable[int], case: Callable[[random.Random], str | None]) -> None:
    """Run a case for each seed; fail with the cases that raise an error or return what is wrong."""
    failures: list[str] = []
    for seed in seeds:
        try:
            with _limited():
                wrong = case(random.Random(seed))
        except (Hangs, Exception) as error:
            wrong = "".join(traceback.format_exception(error))[-2_000:]
        if wrong:
            failures.append(f"seed {seed}: {wrong}")
        if len(failures) == SHOWN:
            break
    assert not failures, "\n\n".join(failures).encode("utf-8", "backslashreplace").decode()


@contextmanager
def _limited() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def mistake_in(error: UserError) -> str | None:
    """Return what is wrong with the messages of an error: each is one line for a person; None if nothing is."""
    for message in error.messages:
        if not message.strip() or not message.isprintable() or len(message) > 1_500:
            return f"no line for a person: {message!r}"
        if found := [word for word in ("Traceback", "pydantic.dev", " object at 0x", "<class ") if word in message]:
            return f"{found[0]} in {message!r}"
    return None
