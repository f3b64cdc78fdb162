"""The errors that a person sees without a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError


class UserError(Exception):
    """One or more mistakes of the user; each message says what is wrong, where, and what to do."""

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """On `UserError`, print its messages to stderr and exit with code 2."""
    try:
        yield
    except UserError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2) from None


def mistakes_in_file(error: ValidationError, whole: str = "file") -> list[str]:
    """Return the errors in a file that does not fit its schema, as `key: reason`; `whole` replaces an empty key."""
    return [f"{'.'.join(map(str, e['loc'])) or whole}: {e['msg']}" for e in error.errors()]
