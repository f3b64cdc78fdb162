"""An experiment of two rows, a sole column and three configurations."""

from typing import Any

ROW: dict[str, Any] = {"labels": ["any"], "cells": {"error": {"printed": 6.61}}}
TINY: dict[str, Any] = {
    "title": "Tiny",
    "source": "nowhere",
    "caption": "Two rows, three configurations.",
    "headings": ["case"],
    "overrides": ["activation=original", "trainer=cpu"],
    "scales": {
        "quick": {"overrides": ["network.depth=8", "schedule.iterations=6"], "seeds": [0]},
        "paper": {
            "overrides": ["network.depth=14", "schedule.iterations=9", "schedule.evaluate_every=3"],
            "seeds": [0, 1],
        },
        "early": {"prefix_of": "paper", "iterations": 3, "seeds": [0]},
    },
    "rows": [
        ROW | {"id": "original", "configurations": [["shortcut=identity"]]},
        ROW
        | {
            "id": "gates",
            "configurations": [["shortcut=exclusive_gating", f"shortcut.gate_bias={bias}"] for bias in (0, -1)],
        },
    ],
}


def row(name: str, *configurations: list[str], **cells: dict[str, Any]) -> dict[str, Any]:
    """Return a row with these configurations and cells; by default it has one cell, in the only column."""
    return ROW | {"id": name, "configurations": list(configurations)} | ({"cells": cells} if cells else {})


def scales(**changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the scales, with additions to each."""
    return {name: scale | changes.get(name, {}) for name, scale in TINY["scales"].items()}
