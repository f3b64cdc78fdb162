"""The runs that the page's tables speak of: what each came to, how it was made, and where its files are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.cells.cell import Cell
from resnet_ablations.report.cells.labels import cell_label
from resnet_ablations.report.contents import SweepReport
from resnet_ablations.report.figures.kinds import KINDS
from resnet_ablations.report.figures.lines import Line, points_of
from resnet_ablations.report.page.links import anchor, run_anchor
from resnet_ablations.report.page.plots import Plot, plot
from resnet_ablations.results.run_folder import Result, RunFolder


@dataclass(frozen=True)
class Use:
    """A cell of a sweep that a run stands in."""

    sweep: str
    """Its place in the page."""
    label: str


@dataclass(frozen=True)
class Run:
    """One run as the page has it."""

    anchor: str
    key: str
    outcome: str
    test_error: str
    numbers: dict[str, str]
    provenance: dict[str, str]
    config: str
    files: dict[str, str]
    """Links from the page, by what is there."""
    plot: Plot | None
    uses: tuple[Use, ...]

    @property
    def sweeps(self) -> list[str]:
        """Whose tables speak of it."""
        return list(dict.fromkeys(use.sweep for use in self.uses))


def runs_in(reports: Sequence[SweepReport], curves: Mapping[str, pd.DataFrame], results: Path) -> list[Run]:
    """Every run of a cell of theirs, by key; `curves` are by run."""
    uses: dict[str, list[Use]] = {}
    cells: dict[str, Cell] = {}
    for report in reports:
        for cell in report.cells:
            label = f"{report.comparison.title}: {cell_label(cell, report.experiment)}"
            for tally in cell.tallies:
                for key in tally.keys.values():
                    uses.setdefault(key, []).append(Use(anchor("sweep", report.plan.name), label))
                    cells.setdefault(key, cell)
    runs = []
    for key in sorted(uses):
        folder = RunFolder(results, key)
        if (result := folder.result()) is not None:
            drawn = _plot(result, cells[key], curves.get(key))
            runs.append(_run(folder, result, drawn, tuple(dict.fromkeys(uses[key]))))
    return runs


def _run(folder: RunFolder, result: Result, drawn: Plot | None, uses: tuple[Use, ...]) -> Run:
    final = {
        "test error": _percent(result.test_error),
        "training error": _percent(result.train_error),
        "test loss": _number(result.test_loss),
        "training loss": _number(result.train_loss),
    }
    further = {METRICS.get(name, name): f"{value:.4g}" for name, value in sorted(result.metrics.items())}
    cost = {
        "iterations": f"{result.iterations:,}",
        "parameters": f"{result.parameters:,}",
        "multiply-adds an image": "" if result.multiply_adds is None else f"{result.multiply_adds:,}",
        "training time": f"{result.seconds:,.0f} s ({result.images_per_second:,.0f} images/s)",
    }
    there = {
        "log": folder.log,
        "curve (CSV)": folder.curve,
        "layer responses (CSV)": folder.responses,
        "configuration (YAML)": folder.config,
        "result (JSON)": folder.path / "result.json",
    }
    return Run(
        run_anchor(result.key),
        result.key,
        result.outcome,
        _percent(result.test_error),
        numbers={name: text for name, text in (final | further | cost).items() if text},
        provenance=_provenance(result.provenance),
        config=folder.config.read_text(encoding="utf-8"),
        files={what: f"../runs/{quote(folder.key)}/{path.name}" for what, path in there.items() if path.exists()},
        plot=drawn,
        uses=uses,
    )


def _plot(result: Result, cell: Cell, curve: pd.DataFrame | None) -> Plot | None:
    """The run's curve; None where there is none."""
    if curve is None or curve.empty:
        return None
    kind = KINDS["loss_and_error"]
    runs = {quantity: {result.key: points} for quantity, points in points_of(curve).items()}
    line = Line(cell, result.key, result.iterations, runs, {})
    return plot(anchor("curve", result.key), "Curve", kind, kind.axes_of([line], False), [line], 1)


def _provenance(provenance: dict[str, Any]) -> dict[str, str]:
    """What is known of how it came to be, by name."""
    commit = str(provenance.get("commit") or "unknown")
    lines = {"commit": commit + (", with uncommitted changes" if provenance.get("dirty") else "")}
    for name in ("versions", "machine"):
        if isinstance(values := provenance.get(name), dict) and values:
            lines[name] = ", ".join(f"{key} {value}" for key, value in values.items())
    return lines | {name: str(provenance[name]) for name in ("started", "finished") if provenance.get(name)}


def _percent(error: float | None) -> str:
    return "" if error is None else f"{error:.2f} %"


def _number(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.4g}"
