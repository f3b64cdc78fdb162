"""The notes under a table: differences from the paper, cells without runs, the origin of the numbers."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.frame import Sweep
from resnet_ablations.report.labels import baseline_label, listed
from resnet_ablations.report.tables.summary import orderings
from resnet_ablations.report.tables.table import MARK, REDECLARED
from resnet_ablations.results.frames import of_each_attempt
from resnet_ablations.results.keys import NUMBERS, run_key


def notes(sweep: Sweep) -> tuple[str, ...]:
    """Return the notes of a sweep's table."""
    cells, runs = sweep.cells, sweep.runs[sweep.runs["key"] != ""]
    known = set(cells["row"] + "/" + cells["column"])
    planned = {f"{row}/{column}" for row, of in sweep.plan.cells.items() for column, names in of.items() if names}
    unknown, replaced, absent = sorted(planned - known), _replacements(sweep), _not_at_this_scale(sweep)
    facts = [
        (replaced, f"At this scale {'; '.join(replaced)}."),
        (absent, f"Not run at this scale: {'; '.join(absent)}."),
        (unknown, f"Cells of this sweep that the experiment no longer has: {', '.join(unknown)}."),
        *((True, sentence) for sentence in _without_metric(cells)),
        *((True, f"{sentence[0].upper()}{sentence[1:]}.") for sentence in provenance_warnings(runs)),
    ]
    stated = (sentence for applies, sentence in facts if applies)
    one_seed = ("One seed tells no order: differences between single runs are not compared with the paper’s.",)
    no_order = one_seed * (len(orderings(sweep, fewest=1)) > len(orderings(sweep)))
    return (*_redeclared(sweep), *_orderings(sweep), *no_order, *stated, *_others(sweep), *_reference(sweep))


def sources(others: pd.DataFrame) -> tuple[str, ...]:
    """Return other people's numbers, one line for each source and recipe."""
    values: dict[str, list[str]] = {}
    for other in others.drop_duplicates(["network", "value", "source", "protocol"]).to_dict("records"):
        n = "n not stated" if pd.isna(other["n"]) else f"n = {other['n']}"
        line = f" ({n}, {other['statistic']}; {other['protocol']}). Source: {other['source']}, {other['year']}."
        if not other["is_counted"]:
            line += f" Not in the table, which shows another metric: {METRICS[other['metric']]}."
        spread = "" if pd.isna(other["spread"]) else f" ± {other['spread']:.2f}"
        values.setdefault(line, []).append(f"{other['network']} {other['value']:.2f}{spread}")
    return tuple(", ".join(of_line) + line for line, of_line in values.items())


def provenance_warnings(runs: pd.DataFrame) -> list[str]:
    """Return warnings about the origin of runs: longer runs, several versions of the code, uncommitted changes."""
    ends = [f"{end:,}" for end in sorted(set(runs.loc[runs["from_longer_run"], "iterations"]))]
    longer, dirty, versions = runs["from_longer_run"].sum(), _dirty(runs).sum(), _commits(runs)
    of = f"of {len(runs)} run{'s' * (len(runs) != 1)}"
    facts = [
        (longer, f"mixed scales: {longer} {of} use iteration {listed(ends)} of longer runs of scale paper"),
        (versions[1:], f"mixed code versions: commits {listed(versions, len(versions))}"),
        (dirty, f"uncommitted changes: {dirty} {of}"),
    ]
    return [sentence for applies, sentence in facts if applies]


def missing_command(sweep: Sweep, results: Path) -> str | None:
    """Return the command that trains the missing runs; finished runs are not trained again."""
    cells, plan = sweep.cells, sweep.plan
    missing = cells[(cells["configuration"] != "") & cells["value"].isna() & (cells["outcome"] != "diverged")]
    if missing.empty:
        return None
    seeds = ",".join(map(str, sorted(set(missing["seed"]))))
    folder = f"RESNET_ABLATIONS_RESULTS={shlex.quote(str(results))} " * (results != Path("results"))
    settings = shlex.join([f"scale={plan.scale}", f"seed={seeds}", *plan.overrides])
    return f"{folder}resnet-ablations sweep {plan.experiment} {settings}"


def _redeclared(sweep: Sweep) -> Iterator[str]:
    """Yield notes on settings and built-in rules that have changed since the runs were planned."""
    for difference, labels in sweep.redeclared.items():
        which = f"{sweep.named(labels)} ({difference})"
        yield f"{REDECLARED} declared differently since these runs: {which}. No claim is judged from them."
    if sweep.plan.numbers != NUMBERS:
        yield (
            f"Planned with version {sweep.plan.numbers} of the built-in rules, for example those for random numbers. "
            f"Today’s version is {NUMBERS}, so the same settings can give other numbers."
        )


def _orderings(sweep: Sweep) -> Iterator[str]:
    """Yield a line for each cell whose difference from its baseline is not as in the paper."""
    for cell in orderings(sweep).query("not agrees").to_dict("records"):
        which = f" (the least like the paper of {cell['configurations']} configurations)" * (cell["configurations"] > 1)
        only = "only " * (cell["ours"] * cell["paper"] > 0)
        bound = "at least " * cell["is_bound"]
        yield (
            f"{MARK} not as in the paper: the error of “{cell['label']}”{which} is {only}{_distance(cell['ours'])} "
            f"that of “{baseline_label(sweep.experiment)}”; in the paper it is {bound}{_distance(cell['paper'])} that."
        )


def _distance(points: float) -> str:
    if abs(points) < 0.005:
        return "level with"
    return f"{abs(points):.2f} points {'above' if points > 0 else 'below'}"


def _replacements(sweep: Sweep) -> list[str]:
    """Return the additions to the paper's setting at this scale, and its replacements."""
    replaced: dict[str, list[str]] = {}
    added: dict[str, list[str]] = {}
    for original, others in sweep.plan.replacements.items():
        if original in (others or ()):
            new = " and ".join(line for line in others or () if line != original)
            added.setdefault(f"{new} is added to", []).append(original)
        elif others:
            replaced.setdefault(f"{' with '.join(others)} replaces", []).append(original)
    return [f"{what} {listed(originals)}" for what, originals in (*replaced.items(), *added.items())]


def _not_at_this_scale(sweep: Sweep) -> list[str]:
    """Return the names of the rows, and of single cells of other rows, that are not run at this scale."""
    cells = sweep.cells.drop_duplicates(["row", "column"])
    absent = cells["outcome"] == "not at this scale"
    names = cells["row_label"].where(absent.groupby(cells["row"]).transform("all"), cells["label"])
    return list(names[absent].unique())


def _without_metric(cells: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each metric that finished runs lack."""
    lacking = cells[(cells["outcome"] == "finished") & cells["value"].isna()]
    for metric, of_metric in lacking.groupby("metric", sort=False):
        keys = {run_key(name, seed) for name, seed in zip(of_metric["configuration"], of_metric["seed"], strict=True)}
        have = f"{len(keys)} finished {'run has' if len(keys) == 1 else 'runs have'} no {metric}"
        yield f"{have} ({METRICS[str(metric)]}): delete {listed(sorted(keys))} to train again."


def _others(sweep: Sweep) -> Iterator[str]:
    """Yield the explanation of the column of other people's numbers, if the table has one."""
    if sweep.others["is_counted"].any():
        yield (
            "others: the lowest and the highest error that other people measured with their own recipes, and the "
            f"number of values; n, recipes and sources are in {sweep.plan.name}-others.csv. No verdict uses them."
        )


def _reference(sweep: Sweep) -> Iterator[str]:
    """Yield the explanation of the column of published numbers, and how many of our runs lie in their range."""
    published = sweep.published
    if published.empty:
        return
    runs = published[published["key"] != ""].drop_duplicates(["configuration", "seed"])
    machines = of_each_attempt(runs["machine"])
    versions = _commits(runs)
    yield (
        f"reference: the median (lowest–highest) of the published runs of the same configurations, {len(runs)} "
        f"run{'s' * (len(runs) != 1)} from commit{'s' * (len(versions) > 1)} {listed(versions)}"
        f"{' with uncommitted changes' * bool(_dirty(runs).any())} on {listed(machines)}."
    )
    ours = sweep.cells[(sweep.cells["reference_n"] > 1) & sweep.cells["value"].notna()]
    within = ours["value"].between(ours["reference_low"], ours["reference_high"])
    if len(ours):
        outside = listed([f"“{label}”" for label in ours.loc[~within, "label"].unique()], 8)
        yield (
            f"Within the range of the published seeds: {within.sum()} of {len(ours)} of our numbers"
            f"{f'; outside: {outside}' * (not within.all())}."
        )


def _commits(runs: pd.DataFrame) -> list[str]:
    """Return the commits of the code that trained the runs."""
    return sorted({commit[:10] for commit in of_each_attempt(runs["commit"])})


def _dirty(runs: pd.DataFrame) -> pd.Series:
    """Return whether the code of each run had uncommitted changes; False if unknown."""
    return runs["dirty"].fillna(False).astype(bool)
