"""The runs behind the page's numbers: results, provenance and files."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.anchors import anchor, run_anchor
from resnet_ablations.report.contents import SweepReport
from resnet_ablations.report.curves import thinned
from resnet_ablations.report.figures.chart import NumbersRow
from resnet_ablations.report.figures.run_curves import run_curves
from resnet_ablations.report.frame import ReportData
from resnet_ablations.results.provenance import attempts
from resnet_ablations.results.run_folder import Result, RunFolder

CURVE_ROWS = 10
"""The most rows of a run's curve in the page's table; the figure and the CSV file have more."""


def runs_of_page(reports: Sequence[SweepReport], data: ReportData, shared: dict[str, Element]) -> list[dict[str, Any]]:
    """Return every run that fills a cell, sorted by key; `uses` are its cells by the anchor and the title of a table.

    Definitions that the figures of the page share are added to `shared`.
    """
    uses: dict[str, dict[tuple[str, str], list[str]]] = {}
    for report in reports:
        cells = report.sweep.cells[report.sweep.cells["key"] != ""]
        sweep = anchor("sweep", report.sweep.plan.name), report.comparison.title
        for key, label in zip(cells["key"], cells["label"], strict=True):
            uses.setdefault(key, {}).setdefault(sweep, []).append(label)
    folders = [RunFolder(data.path, key) for key in sorted(uses)]
    curves = run_curves({key: data.curves[key] for key in uses if key in data.curves}, shared)
    return [
        {
            "anchor": run_anchor(folder.key),
            "result": result,
            "numbers": _numbers(result),
            "provenance": _provenance(result.provenance),
            "environment": _environment(result.provenance),
            "config": folder.config.read_text(encoding="utf-8"),
            "files": _files(folder),
            "figure": curves.get(folder.key, ""),
            "curve": _curve(data.curves.get(folder.key, pd.DataFrame())),
            "uses": uses[folder.key],
        }
        for folder in folders
        if (result := folder.result()) is not None
    ]


def _numbers(result: Result) -> dict[str, str]:
    numbers = {
        "test error": _percent(result.test_error),
        "training error": _percent(result.train_error),
        "test loss": "" if result.test_loss is None else f"{result.test_loss:.4g}",
        "training loss": "" if result.train_loss is None else f"{result.train_loss:.4g}",
        **{METRICS.get(name, name): f"{value:.4g}" for name, value in sorted(result.metrics.items())},
        "iterations": f"{result.iterations:,}",
        "parameters": f"{result.parameters:,}",
        "multiply-adds per image": "" if result.multiply_adds is None else f"{result.multiply_adds:,}",
        "training time": f"{result.seconds:,.0f} s ({result.images_per_second:,.0f} images/s)",
    }
    return {name: text for name, text in numbers.items() if text}


def _files(folder: RunFolder) -> dict[str, str]:
    paths = {
        "log": folder.log,
        "curve (CSV)": folder.curve,
        "layer responses (CSV)": folder.responses,
        "configuration (YAML)": folder.config,
        "result (JSON)": folder.path / "result.json",
    }
    return {name: f"../runs/{quote(folder.key)}/{path.name}" for name, path in paths.items() if path.exists()}


def _curve(curve: pd.DataFrame) -> list[NumbersRow]:
    """Return a few logged steps with the last one; only steps with a test error if there are enough of them."""
    if curve.empty:
        return []
    evaluated = curve.dropna(subset="test_error")
    curve = evaluated if len(evaluated) >= CURVE_ROWS else curve
    columns = curve.iloc[thinned(len(curve), CURVE_ROWS)][["iteration", "train_loss", "train_error", "test_error"]]
    return [
        NumbersRow(f"{int(step):,}", "", (f"{loss:.4g}", _percent(train), _percent(test)))
        for step, loss, train, test in columns.itertuples(index=False)
    ]


def _provenance(provenance: dict[str, Any]) -> dict[str, str]:
    each = attempts(provenance)
    lines = {}
    for attempt in each:
        name = "commit" if len(each) == 1 else f"commit from iteration {attempt.get('from_iteration', 0):,} on"
        dirty = ", with uncommitted changes" if attempt.get("dirty") else ""
        lines[name] = str(attempt.get("commit") or "unknown") + dirty
    return lines | {name: str(provenance[name]) for name in ("started", "finished") if provenance.get(name)}


def _environment(provenance: dict[str, Any]) -> str:
    """Return the versions and the machines, which many runs share."""
    parts = [
        ", ".join(f"{name} {value}" for name, value in values.items())
        for part in ("versions", "machine")
        for attempt in attempts(provenance)
        if isinstance(values := attempt.get(part), dict) and values
    ]
    return "; ".join(dict.fromkeys(parts))


def _percent(error: float | None) -> str:
    return "" if error is None or np.isnan(error) else f"{error:.2f} %"
