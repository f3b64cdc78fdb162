"""The ids of the page's parts, and the links to the runs behind a number."""

import re

import pandas as pd


def anchor(what: str, *names: str) -> str:
    """Return the id of an element of the page. Different names give different ids, whatever their characters."""
    return ":".join([what, *(re.sub(r"[^A-Za-z0-9_.-]", lambda sign: f"~{ord(sign[0]):x}~", name) for name in names)])


def run_anchor(key: str) -> str:
    """Return the id of a run."""
    return anchor("run", key)


def runs_link(rows: pd.DataFrame) -> tuple[str, str]:
    """Return the address and the name of the runs behind `rows` of one cell; two empty texts if there is no run.

    One run has an address of its own; several have the list of their cell's runs.
    """
    keys = rows.loc[rows["key"] != "", "key"].unique()
    if len(keys) == 0:
        return "", ""
    if len(keys) == 1:
        return f"#{run_anchor(keys[0])}", str(keys[0])
    first = rows.iloc[0]
    return f"#{anchor('cell', first['sweep'], first['row'], first['column'])}", f"{len(keys)} runs"
