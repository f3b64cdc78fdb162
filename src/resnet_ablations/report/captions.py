"""The words around a table: its caption, its notes, and the command that fills its gaps."""

import shlex
from collections import Counter
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import Experiment, Row
from resnet_ablations.report.cells import FAIL, Cell, ordering
from resnet_ablations.report.plans import distinct, is_served
from resnet_ablations.results.keys import class_label
from resnet_ablations.results.sweeps import SweepPlan

MARK = "†"
"""Marks a row that a note says more about."""
DATA_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "fashion_mnist": "Fashion-MNIST"}


def row_label(row: Row, experiment: Experiment) -> str:
    """The shortest name that tells the row from the others: its case, with its factors or its remark where needed."""
    same_case = [other for other in experiment.rows if other.case == row.case]
    factors = Counter((other.on_shortcut, other.on_residual) for other in same_case)
    if len(same_case) == 1:
        return row.case
    if factors[row.on_shortcut, row.on_residual] == 1 or not row.remark:
        return f"{row.case} ({row.on_shortcut}, {row.on_residual})"
    return f"{row.case} ({row.remark})"


def signed(points: float) -> str:
    """A difference with its sign, the minus being a real one."""
    return f"{round(points, 2) + 0.0:+.2f}".replace("-", "−")  # + 0.0: there is no −0.00


def caption(plan: SweepPlan, experiment: Experiment, baseline: Cell) -> str:
    """What the table shows, in which setting, and what may be compared with what."""
    over_seeds = ": median (mean ± sample standard deviation) of the finished seeds" if len(plan.seeds) > 1 else ""
    sentences = [
        experiment.caption,
        f"Ours: {setting(plan)}.",
        f"The error is the final iteration’s{over_seeds}; n = finished/planned runs; "
        f"fail = test error above {FAIL:g} %. Paper: {experiment.source}.",
    ]
    if plan.scale == "early":
        sentences.append(
            f"Stopped after {plan.iterations:,} iterations, while the paper’s errors are those at the end of training: "
            f"compare with “{baseline.row.case}” of this table."
        )
    elif plan.scale != "paper":
        sentences.append(
            f"At this scale compare with “{baseline.row.case}” of this table, not with the paper’s numbers."
        )
    return " ".join(sentences)


def setting(plan: SweepPlan) -> str:
    """`ResNet-56 on digits, 1,800 iterations of 32, 32-true; scale quick, seed 0`, from the plan's configurations."""
    depths = [f"ResNet-{depth}" for depth in distinct(plan, "network", "depth")]
    data = [_data_name(source) for source in distinct(plan, "data")]
    batches = [str(size) for size in distinct(plan, "schedule", "batch_size")]
    bn_batches = [str(size) for size in distinct(plan, "bn_batch")]
    over = f" (BN over {'/'.join(bn_batches)})" if bn_batches and bn_batches != batches else ""
    parts = [
        f"{'/'.join(depths) or 'network unknown'} on {'/'.join(dict.fromkeys(data)) or 'unknown data'}",
        f"{plan.iterations:,} iterations of {'/'.join(batches) or 'unknown batch'}{over}",
        "/".join(distinct(plan, "precision")),
    ]
    seeds = ("seed " if len(plan.seeds) == 1 else "seeds ") + ", ".join(map(str, plan.seeds))
    overrides = f", with {' '.join(plan.overrides)}" if plan.overrides else ""
    return f"{', '.join(filter(None, parts))}; scale {plan.scale}, {seeds}{overrides}"


def _data_name(source: dict[str, object]) -> str:
    label = class_label(str(source.get("_target_")))
    if label == "image_folder":
        return f"a folder of images (fingerprint {source.get('fingerprint')})"
    return DATA_NAMES.get(label, label)


def ordering_notes(cells: list[Cell], experiment: Experiment) -> list[str]:
    """A line for each row that does not stand to the baseline as in the paper; no verdict on numbers."""
    notes = []
    for cell in cells:
        order = ordering(cell, cells[0])
        if order is None or order.agrees:
            continue
        which = f", the nearest of {len(cell.medians)} configurations," if len(cell.medians) > 1 else ""
        only = "only " if order.ours * order.paper > 0 else ""
        bound = "at least " if order.paper_is_bound else ""
        notes.append(
            f"{MARK} not as in the paper: {row_label(cell.row, experiment)}{which} ends {only}{_distance(order.ours)} "
            f"{cells[0].row.case}; in the paper {bound}{_distance(order.paper)}."
        )
    return notes


def _distance(points: float) -> str:
    if abs(points) < 0.005:
        return "level with"
    return f"{abs(points):.2f} points {'above' if points > 0 else 'below'}"


def provenance_notes(plan: SweepPlan, experiment: Experiment, runs: pd.DataFrame) -> list[str]:
    """Where the numbers come from, if it is not simply one version of the code and this sweep's own runs."""
    notes = []
    if unknown := sorted(set(plan.rows) - {row.id for row in experiment.rows}):
        notes.append(f"Rows of this sweep that the experiment no longer has: {', '.join(unknown)}.")
    served = runs[is_served(runs)]
    if len(served):
        longer = f"{len(served)} of {len(runs)} runs are longer ones, of the paper scale"
        notes.append(f"{longer}, read at iteration {plan.iterations:,}.")
    commits = sorted({str(commit)[:10] if isinstance(commit, str) else "unknown" for commit in runs["commit"]})
    if len(commits) > 1:
        notes.append(f"These runs come from {len(commits)} versions of the code: commits {', '.join(commits)}.")
    if dirty := int(sum(value is True for value in runs["dirty"])):
        notes.append(f"{dirty} of {len(runs)} runs come from code with uncommitted changes.")
    return notes


def missing_command(plan: SweepPlan, cells: list[Cell], results: Path) -> str | None:
    """What to type for the runs that are missing; those that are finished are not run again."""
    seeds = sorted({seed for cell in cells for tally in cell.tallies for seed in tally.missing})
    if not seeds:
        return None
    words = [f"make sweep-{plan.experiment}", f"SCALE={plan.scale}", f"SEEDS={','.join(map(str, seeds))}"]
    if plan.overrides:
        words.append(f"ARGS={_quoted(shlex.join(plan.overrides))}")
    if results != Path("results"):
        words.append(f"RESULTS={shlex.quote(str(results))}")
    return " ".join(words)


def _quoted(arguments: str) -> str:
    """In double quotes where that is enough; `$` is doubled, since make reads it before the shell."""
    arguments = arguments.replace("$", "$$")
    return shlex.quote(arguments) if set(arguments) & set('"$`\\!') else f'"{arguments}"'
