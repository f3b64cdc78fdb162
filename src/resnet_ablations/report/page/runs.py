"""The runs behind the page's numbers: results, provenance and files."""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class RunDetails:
    """One run on the page; `uses` are the cells that it fills, as the address of the sweep and a name."""

    anchor: str
    key: str
    outcome: str
    test_error: str
    numbers: dict[str, str]
    provenance: dict[str, str]
    config: str
    files: dict[str, str]
    curve: tuple[NumbersRow, ...]
    """Training loss, training error and test error at some steps."""
    uses: tuple[tuple[str, str], ...]

    @property
    def sweeps(self) -> list[str]:
        """The ids of the sweeps whose tables the run is in."""
        return list(dict.fromkeys(sweep for sweep, _ in self.uses))


def runs_of_page(reports: Sequence[SweepReport], data: ReportData) -> list[RunDetails]:
    """Return every run that fills a cell, by key."""
    uses: dict[str, dict[tuple[str, str], None]] = {}
    for report in reports:
        cells = report.sweep.cells
        for key, label in zip(cells["key"], cells["label"], strict=True):
            if key:
                use = anchor("sweep", report.sweep.plan.name), f"{report.comparison.title}: {label}"
                uses.setdefault(key, {})[use] = None
    folders = [RunFolder(data.path, key) for key in sorted(uses)]
    read = [(folder, folder.result()) for folder in folders]
    return [
        _details(folder, result, data.curves.get(folder.key), tuple(uses[folder.key]))
        for folder, result in read
        if result is not None
    ]


def _details(
    folder: RunFolder, result: Result, curve: pd.DataFrame | None, uses: tuple[tuple[str, str], ...]
) -> RunDetails:
    numbers = {
        "test error": _percent(result.test_error),
        "training error": _percent(result.train_error),
        "test loss": _number(result.test_loss),
        "training loss": _number(result.train_loss),
        **{METRICS.get(name, name): f"{value:.4g}" for name, value in sorted(result.metrics.items())},
        "iterations": f"{result.iterations:,}",
        "parameters": f"{result.parameters:,}",
        "multiply-adds an image": "" if result.multiply_adds is None else f"{result.multiply_adds:,}",
        "training time": f"{result.seconds:,.0f} s ({result.images_per_second:,.0f} images/s)",
    }
    files = {
        "log": folder.log,
        "curve (CSV)": folder.curve,
        "layer responses (CSV)": folder.responses,
        "configuration (YAML)": folder.config,
        "result (JSON)": folder.path / "result.json",
    }
    return RunDetails(
        run_anchor(result.key),
        result.key,
        result.outcome,
        _percent(result.test_error),
        numbers={name: text for name, text in numbers.items() if text},
        provenance=_provenance(result.provenance),
        config=folder.config.read_text(encoding="utf-8"),
        files={name: f"../runs/{quote(folder.key)}/{path.name}" for name, path in files.items() if path.exists()},
        curve=() if curve is None else _curve(curve),
        uses=uses,
    )


def _curve(curve: pd.DataFrame) -> tuple[NumbersRow, ...]:
    """Return some logged steps, the last one too; those with a test error where there are enough."""
    evaluated = curve.dropna(subset="test_error")
    curve = evaluated if len(evaluated) >= CURVE_ROWS else curve
    shown = curve.iloc[np.unique(np.linspace(0, len(curve) - 1, min(CURVE_ROWS, len(curve))).round().astype(int))]
    columns = shown[["iteration", "train_loss", "train_error", "test_error"]]
    return tuple(
        NumbersRow(f"{int(step):,}", "", (f"{loss:.4g}", _percent(train), _percent(test)))
        for step, loss, train, test in columns.itertuples(index=False)
    )


def _provenance(provenance: dict[str, Any]) -> dict[str, str]:
    commit = str(provenance.get("commit") or "unknown")
    lines = {"commit": commit + (", with uncommitted changes" if provenance.get("dirty") else "")}
    for name in ("versions", "machine"):
        if isinstance(values := provenance.get(name), dict) and values:
            lines[name] = ", ".join(f"{key} {value}" for key, value in values.items())
    return lines | {name: str(provenance[name]) for name in ("started", "finished") if provenance.get(name)}


def _percent(error: float | None) -> str:
    return "" if error is None or np.isnan(error) else f"{error:.2f} %"


def _number(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.4g}"
