"""`lesions.csv` and `path_gradients.csv`: measurements of a trained network by Veit et al. (2016), one row each."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True)
class Lesion:
    """One change of a trained network, by the numbers of its units, counted from 1."""

    lesion: Literal["none", "deleted", "shuffled"]
    count: int
    """The number of deleted units, or of swaps one after the other."""
    draw: int | None
    """The number of the random draw, counted from 1; None for a lesion that is not drawn."""
    units: tuple[int, ...]
    """The deleted units; or the units in their new order."""
    tau: float | None
    """Kendall's τ between the new order and the old one; None for deleted units."""


@dataclass(frozen=True)
class PathGradient:
    """The gradient of the loss at the images along the paths of one length, a mean over images.

    A path takes the residual branch in `length` of the units, and the shortcut in all others.
    """

    length: int
    paths: int
    """The number of paths of this length."""
    one_path: float
    """The mean norm of the gradient along one path, over all paths of this length or sampled ones."""
    all_paths: float
    """The norm of the sum of the gradients along all paths of this length."""


LESION_COLUMNS = (*(field.name for field in fields(Lesion)), "error")
PATH_GRADIENT_COLUMNS = tuple(field.name for field in fields(PathGradient))


def lesions_text(rows: Iterable[tuple[Lesion, float]]) -> str:
    """Return the text of `lesions.csv`: lesions with the test error (%) after each."""
    return _text(LESION_COLUMNS, ((*astuple(lesion), error) for lesion, error in rows))


def path_gradients_text(rows: Iterable[PathGradient]) -> str:
    """Return the text of `path_gradients.csv`."""
    return _text(PATH_GRADIENT_COLUMNS, map(astuple, rows))


def _text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a CSV text: six significant digits, numbers of units with spaces between them, empty without a value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(map(_value, row))
    return text.getvalue()


def _value(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}"
        case tuple():
            return " ".join(map(str, value))
        case _:
            return str(value)
