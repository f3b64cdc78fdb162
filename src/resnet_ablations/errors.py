"""The one kind of error that is shown to a person without a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError


class UserError(Exception):
    """One or several mistakes of the user's: each message says what, where and what to do."""

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Turn a `UserError` into its lines on stderr and exit code 2."""
    try:
        yield
    except UserError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2) from None


def mistakes_in_file(error: ValidationError, whole: str = "file") -> list[str]:
    """What is wrong in a file that does not fit its schema, as `key: reason`; `whole` stands for a missing key."""
    return [f"{'.'.join(map(str, e['loc'])) or whole}: {e['msg']}" for e in error.errors()]
