"""Lesions and paths (Veit et al., 2016): test errors without units or with swapped ones, gradients by path length."""

from collections.abc import Iterable, Iterator
from functools import partial

import pandas as pd

from resnet_ablations.report.figures.chart import Chart
from resnet_ablations.report.figures.lines import Across, Axis, Curves, Line, LinePanel, PanelQuantity
from resnet_ablations.report.figures.panels import in_parts, line_figure
from resnet_ablations.report.frame import ReportData, Run, Sweep
from resnet_ablations.report.tables.summary import number
from resnet_ablations.report.tables.table import Table
from resnet_ablations.report.theory.recorded_signals import NAMES
from resnet_ablations.report.theory.tables import Text, span, table_of_runs

SHOWN = 10
"""The number of deleted units, and of swaps, in the table."""
ERROR, SHARE = Axis("test error (%)"), Axis("share of the gradient (%)")
OF_DRAWS = PanelQuantity("test error, median of the draws", ERROR, is_test_error=True)
FIGURES: dict[str, tuple[str, Across, dict[str, PanelQuantity]]] = {
    "lesions-unit": (
        "one unit deleted",
        "deleted unit",
        {"unit": PanelQuantity("test error", ERROR, is_test_error=True)},
    ),
    "lesions-deleted": ("several units deleted at random", "deleted units", {"deleted": OF_DRAWS}),
    "lesions-shuffled": ("units swapped at random", "swaps", {"shuffled": OF_DRAWS}),
    "paths": (
        "gradient by path length",
        "path length",
        {
            "one_path": PanelQuantity("number of paths × gradient of one path", SHARE),
            "all_paths": PanelQuantity("gradient of all these paths together", SHARE, "--", 0.9),
        },
    ),
}
"""The content of each figure, its horizontal axis and its quantities."""
NOISY = "The gradient of one path is heavy-tailed; where it is a mean over random paths, it is noisy."


def lesion_table(sweep: Sweep, data: ReportData) -> pd.DataFrame:
    """Return one row for each measured run of a cell.

    `error` is the test error without a lesion. `single` is the one after the deletion of one unit, the median over the
    units, and `single_high` the highest. `deleted` and `shuffled` are medians over the draws after `SHOWN` deletions
    and swaps; `tau` is Kendall's τ of these swaps. `path_length` is the mean length of a path, where a length counts by
    the number of its paths × the gradient of one, and `path_length_together` where it counts by the gradient of all
    these paths together. `units` is the greatest length.
    """
    lines = [_line(run, data) for cell in measured_cells(sweep, data) for run in _runs(sweep.cell(cell), data)]
    columns = [*NAMES, "error", "single", "single_high", "deleted", "shuffled"]
    return pd.DataFrame(lines, columns=[*columns, "tau", "path_length", "path_length_together", "units"])


def _line(run: Run, data: ReportData) -> Run:
    lesions, single, one_path = data.lesions[run["key"]], _by(run, data, "unit"), _by(run, data, "one_path")
    swapped = lesions[(lesions["lesion"] == "shuffled") & (lesions["count"] == SHOWN)]
    return {key: run[key] for key in NAMES} | {
        "error": lesions.loc[lesions["lesion"] == "none", "error"].median(),
        "single": single.median(),
        "single_high": single.max(),
        "deleted": _by(run, data, "deleted").get(SHOWN),
        "shuffled": _by(run, data, "shuffled").get(SHOWN),
        "tau": swapped["tau"].median(),
        "path_length": _mean_length(one_path),
        "path_length_together": _mean_length(_by(run, data, "all_paths")),
        "units": one_path.index.max(),
    }


def _mean_length(shares: pd.Series) -> float:
    return float((shares * shares.index).sum() / shares.sum())


def measured_cells(sweep: Sweep, data: ReportData) -> list[str]:
    """Return the cells, `ROW/COLUMN`, with measured runs; only the first one of cells that share their runs."""
    return sweep.cells_with(lambda rows: any(_runs(rows, data)))


def _runs(rows: pd.DataFrame, data: ReportData) -> Iterator[Run]:
    """Yield the measured runs; a longer run's lesions are those at its own end."""
    known = rows["key"].isin(data.lesions.keys() & data.path_gradients.keys()) & ~rows["from_longer_run"]
    return iter(rows[known].to_dict("records"))


def _by(run: Run, data: ReportData, quantity: str) -> pd.Series:
    """Return a quantity of `FIGURES` by its place on the horizontal axis."""
    if quantity in ("one_path", "all_paths"):
        paths = data.path_gradients[run["key"]].set_index("length")
        gradient = paths["paths"] * paths["one_path"] if quantity == "one_path" else paths["all_paths"]
        return 100 * gradient / gradient.sum()
    lesions = data.lesions[run["key"]]
    single = (lesions["lesion"] == "deleted") & lesions["draw"].isna()
    if quantity == "unit":
        return lesions[single].astype({"units": "int64"}).set_index("units")["error"]
    of_kind = lesions[lesions["lesion"].isin(["none", quantity])]
    return of_kind.groupby("count")["error"].median()


def lesion_charts(sweep: Sweep, data: ReportData) -> Iterator[Chart]:
    """Yield the figures for which there are lesions: a line for each row, at most six in a panel."""
    cells = measured_cells(sweep, data)
    says = _measured_runs([sweep.cell(cell) for cell in cells], data)
    for name, (shows, across, quantities) in FIGURES.items():
        title = shows[0].upper() + shows[1:]
        found = {cell: _curves(sweep.cell(cell), quantities, data) for cell in cells}
        lines = [Line(cell, curves) for cell, curves in found.items() if curves]
        panels = [LinePanel(title + end, group, quantities, across) for end, group in in_parts(lines)]
        if not panels:
            continue
        yield line_figure(name, sweep, panels, shows, " ".join(filter(None, [says, NOISY * (name == "paths")])))


def _measured_runs(cells: list[pd.DataFrame], data: ReportData) -> str:
    """Return a sentence if some finished runs of the cells are not measured."""
    finished = sum(int((rows["outcome"] == "finished").sum()) for rows in cells)
    measured = sum(len(list(_runs(rows, data))) for rows in cells)
    return "" if measured == finished else f"Only {measured} of {finished} finished runs are measured."


def _curves(rows: pd.DataFrame, quantities: Iterable[str], data: ReportData) -> list[Curves]:
    """Return the quantities that some of the runs have."""
    runs = list(_runs(rows, data))
    found = [(quantity, True, [_by(run, data, quantity) for run in runs]) for quantity in quantities]
    return [curves for curves in found if any(map(len, curves[2]))]


def lesions_table(sweep: Sweep, runs: pd.DataFrame) -> Table:
    """Return the table of test errors after lesions, and of the mean length of the paths that carry the gradient."""
    texts: dict[str, Text] = {
        "n": lambda runs: str(runs["key"].nunique()),
        "test error": partial(_percent, name="error"),
        "one unit deleted": partial(_percent, name="single", other="single_high"),
        f"{SHOWN} deleted": partial(_percent, name="deleted"),
        f"{SHOWN} swaps (τ)": partial(_percent, name="shuffled", other="tau"),
        "mean path": _path,
    }
    caption = (
        "Test error (%) of the trained networks, the median of n runs: as they are; without F of one unit, the "
        f"median unit (worst unit); without F of {SHOWN} random units, and after {SHOWN} random swaps of units of the "
        "same shape (with Kendall’s τ of the new order), the median of the draws. Units stay in their stage, so even a "
        "random order keeps most pairs of units. Where there is no shortcut (λ = 0), the identity "
        "replaces a deleted unit; in the other rows its own shortcut h(x) stays. The mean path is the mean number of "
        "units whose F a path takes, where a length counts by the number of its paths × the gradient of one (by the "
        f"gradient of all these paths together, which can cancel). {NOISY} The method is that of Veit et al. (2016); "
        "none of their numbers is compared."
    )
    return table_of_runs(sweep, "lesions", "Lesions and paths", caption, runs, texts, [_sentence(runs)])


def _sentence(runs: pd.DataFrame) -> str:
    rows = runs.groupby("label", sort=False)[["error", "single", "path_length"]].median()
    more = (rows["single"] - rows["error"]).sort_values(kind="stable")
    ends = [f"{number(round(more[label], 2))} points (“{label}”)" for label in dict.fromkeys(more.index[[0, -1]])]
    return (
        f"Without F of the median unit, the test error is higher by {' to '.join(ends)}. The mean path of the gradient "
        f"takes F in {span(rows['path_length'].round(1))} of {number(runs['units'].max())} units."
    )


def _percent(runs: pd.DataFrame, name: str, other: str = "") -> str:
    texts = ["–" if runs[one].isna().all() else f"{runs[one].median():.2f}" for one in (name, other) if one]
    return " ".join(texts[:1] + [f"({text})" for text in texts[1:]])


def _path(runs: pd.DataFrame) -> str:
    one, together = runs["path_length"].median(), runs["path_length_together"].median()
    return f"{one:.1f} ({together:.1f}) of {runs['units'].max()}"
