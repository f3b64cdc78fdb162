"""The verdicts as the page has them: each with the runs that it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnet_ablations.report.cells.labels import cell_label
from resnet_ablations.report.claims.verdicts import Verdict
from resnet_ablations.report.contents import SweepReport
from resnet_ablations.report.page.links import Link, anchor, run_anchor, runs_behind


@dataclass(frozen=True)
class Basis:
    """A cell that a verdict speaks of, and what each of its runs came to."""

    label: str
    runs: tuple[Link, ...]


@dataclass(frozen=True)
class JudgedClaim:
    """A verdict, and all that it rests on; its numbers lead to `anchor`, where this is listed."""

    anchor: str
    verdict: Verdict
    bases: tuple[Basis, ...]

    @property
    def count(self) -> int:
        """The runs, each counted once."""
        return len({run.to for basis in self.bases for run in basis.runs})


def by_claim(verdicts: Sequence[Verdict], reports: Mapping[str, SweepReport]) -> list[list[JudgedClaim]]:
    """The verdicts in groups of one claim each; `reports` are by the sweep's name."""
    groups: dict[str, list[JudgedClaim]] = {}
    for verdict in verdicts:
        bases = tuple(_bases(verdict, reports[verdict.sweep])) if verdict.sweep in reports else ()
        name = anchor("basis", verdict.claim.id, verdict.sweep)
        groups.setdefault(verdict.claim.id, []).append(JudgedClaim(name, verdict, bases))
    return list(groups.values())


def _bases(verdict: Verdict, report: SweepReport) -> list[Basis]:
    links = {
        cell_label(cell, report.experiment): [
            Link(text, f"#{run_anchor(key)}") for key, text in runs_behind(cell).items()
        ]
        for cell in report.cells
        if (cell.row.id, cell.column.id) in verdict.cells
    }
    return [Basis(label, tuple(runs)) for label, runs in links.items() if runs]
