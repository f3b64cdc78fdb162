"""The runs behind the page's numbers: results, provenance and files."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.anchors import anchor, run_anchor
from resnet_ablations.report.contents import SweepReport
from resnet_ablations.report.figures.chart import NumbersRow
from resnet_ablations.report.frame import ReportData
from resnet_ablations.results.run_folder import Result, RunFolder

CURVE_ROWS = 10
"""Logged steps of a run's curve on the page; its file has all."""


def runs_of_page(reports: Sequence[SweepReport], data: ReportData) -> list[dict[str, Any]]:
    """Return every run that fills a cell, by key; `uses` are its cells, as the address of the sweep and a name."""
    uses: dict[str, dict[tuple[str, str], None]] = {}
    for report in reports:
        cells = report.sweep.cells[report.sweep.cells["key"] != ""]
        for key, label in zip(cells["key"], cells["label"], strict=True):
            use = anchor("sweep", report.sweep.plan.name), f"{report.comparison.title}: {label}"
            uses.setdefault(key, {})[use] = None
    folders = [RunFolder(data.path, key) for key in sorted(uses)]
    return [
        {
            "anchor": run_anchor(folder.key),
            "result": result,
            "numbers": _numbers(result),
            "provenance": _provenance(result.provenance),
            "environment": _environment(result.provenance),
            "config": folder.config.read_text(encoding="utf-8"),
            "files": _files(folder),
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
        "multiply-adds an image": "" if result.multiply_adds is None else f"{result.multiply_adds:,}",
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
    """Return some logged steps, the last one too; those with a test error where there are enough."""
    if curve.empty:
        return []
    evaluated = curve.dropna(subset="test_error")
    curve = evaluated if len(evaluated) >= CURVE_ROWS else curve
    shown = curve.iloc[np.unique(np.linspace(0, len(curve) - 1, min(CURVE_ROWS, len(curve))).round().astype(int))]
    columns = shown[["iteration", "train_loss", "train_error", "test_error"]]
    return [
        NumbersRow(f"{int(step):,}", "", (f"{loss:.4g}", _percent(train), _percent(test)))
        for step, loss, train, test in columns.itertuples(index=False)
    ]


def _provenance(provenance: dict[str, Any]) -> dict[str, str]:
    commit = str(provenance.get("commit") or "unknown")
    lines = {"commit": commit + (", with uncommitted changes" if provenance.get("dirty") else "")}
    return lines | {name: str(provenance[name]) for name in ("started", "finished") if provenance.get(name)}


def _environment(provenance: dict[str, Any]) -> str:
    """Return the versions and the machine, which many runs share."""
    parts = [values for name in ("versions", "machine") if isinstance(values := provenance.get(name), dict) and values]
    return "; ".join(", ".join(f"{name} {value}" for name, value in values.items()) for values in parts)


def _percent(error: float | None) -> str:
    return "" if error is None or np.isnan(error) else f"{error:.2f} %"
