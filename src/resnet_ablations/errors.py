"""The errors that a person sees without a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError


class UserError(Exception):
    """One or more mistakes of the user; each message, a line, says what is wrong, where, and what to do."""

    def __init__(self, *messages: str) -> None:
        self.messages = tuple(map(printable, messages))
        super().__init__("\n".join(self.messages))


def printable(text: str) -> str:
    """Return a text that may quote the user with line ends, control characters and lone surrogates escaped."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def reason_of(error: Exception) -> str:
    """Return the system's reason of an error, `No space left on device`, or else the error's own text, on one line."""
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
    return " ".join(str(reason).split()) or type(error).__name__


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its type if the text is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def reason_in_yaml(error: Exception) -> str:
    """Return why a text is no YAML, with the line if the parser names one."""
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or first_line(error)
    return f"line {mark.line + 1}: {reason}" if mark else reason


def as_yaml(value: object) -> str:
    """Return a setting as YAML writes it: `null`, `true` and `false`, and any other value as Python writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def shortened(value: object) -> str:
    """Return a value of the user as text for a message: as YAML writes it, and at most some 200 characters long."""
    text = as_yaml(value)
    return text if len(text) <= 200 else f"{text[:150]} … ({len(text):,} characters)"


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """On `UserError`, print its messages to stderr and exit with code 2."""
    try:
        yield
    except UserError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2) from None


def plain_reason(message: str) -> str:
    """Return a message of pydantic in the words of our messages."""
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def mistakes_in_file(error: ValidationError) -> list[str]:
    """Return the errors in a file that does not fit its schema: `key: reason`, or `reason` for the whole file."""
    found = [(".".join(map(str, e["loc"])), plain_reason(e["msg"])) for e in error.errors()]
    return [f"{key}: {reason}" if key else reason for key, reason in found]
