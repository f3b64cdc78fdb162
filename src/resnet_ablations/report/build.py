"""Everything that the report makes from a results folder."""

import warnings
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from resnet_ablations.errors import UserError
from resnet_ablations.experiments import load_experiment
from resnet_ablations.report import faithfulness, figures, render, table, verdicts
from resnet_ablations.report.cells import cells_of
from resnet_ablations.report.lines import Results
from resnet_ablations.report.panels import KINDS
from resnet_ablations.report.paper_claims import load_claims
from resnet_ablations.report.plans import load_plans, runs_of
from resnet_ablations.results.files import write_atomically
from resnet_ablations.results.frames import load_curves, load_responses, load_results
from resnet_ablations.results.sweeps import SweepPlan


def build(results: Path, sweep: str | None, console: Console) -> list[str]:
    """Make and print the tables and figures of every sweep and the verdicts on the claims, or the former of one sweep.

    Return what is damaged, in words. Raise `UserError` where there is no sweep at all, or none of that name.
    """
    plans, damaged = load_plans(results)
    if sweep is not None:
        names = [plan.name for plan in plans]
        if sweep not in names:
            raise UserError(f"--sweep={sweep}: no such sweep in {results}/sweeps; there: {', '.join(names) or 'none'}")
        plans = [plan for plan in plans if plan.name == sweep]
    with warnings.catch_warnings(action="ignore"):  # they are said again at the end, where they are seen
        runs, curves, responses = load_results(results), load_curves(results), load_responses(results)
    for frame in (runs, curves, responses):
        damaged += frame.attrs["damaged"]
    written: list[Path] = []
    for plan in plans:
        try:
            written += _report(plan, results, Results(runs, curves, responses), console)
        except UserError as error:
            damaged += error.messages
    if sweep is None:
        try:
            written += _verdicts(plans, results, Results(runs, curves, responses), console)
        except UserError as error:
            damaged += error.messages
    for path in written:
        console.print(Text(f"wrote {path}"), soft_wrap=True)
    return damaged


def _report(plan: SweepPlan, folder: Path, found: Results, console: Console) -> list[Path]:
    """One sweep's files, and its tables on the console."""
    experiment = load_experiment(plan.experiment)
    runs = runs_of(plan, found.runs, found.curves)
    cells = cells_of(plan, experiment, runs)
    comparison = table.comparison(plan, experiment, cells, runs, folder)
    render.terminal(comparison, console)
    page = [f"## {comparison.title}\n", render.markdown(comparison)]
    files: dict[str, str | bytes] = {
        f"{plan.name}.md": "",  # first of the list, filled last
        f"{plan.name}.tex": render.latex(comparison),
        f"{plan.name}.csv": render.csv(table.tidy(plan, experiment, cells)),
    }
    for whole, panels in figures.wholes(experiment).items():
        name = f"{plan.name}-{whole}"
        content = figures.render(panels, plan, experiment, cells, replace(found, runs=runs))
        files |= {f"{name}.{suffix}": data for suffix, data in content.items()}
        page.append(f"![{experiment.title}: {KINDS[panels[0].kind].shows}]({name}.png)\n")
    if comparisons := faithfulness.compare(plan, cells, runs, found.curves):
        faithful = faithfulness.faithfulness_table(plan, experiment, comparisons)
        render.terminal(faithful, console)
        page += [f"### {faithful.title}\n", render.markdown(faithful)]
        files[f"{faithful.name}.csv"] = render.csv(faithfulness.tidy(plan, comparisons))
    files[f"{plan.name}.md"] = "\n".join(page)
    for file, data in files.items():
        write_atomically(folder / "report" / file, data)
    return [folder / "report" / file for file in files]


def _verdicts(plans: list[SweepPlan], folder: Path, found: Results, console: Console) -> list[Path]:
    """The files of the claims, and their table on the console; none where no claims are declared."""
    claims = load_claims()
    if not claims:
        return []
    judged = verdicts.judge(plans, found, claims)
    shown = verdicts.verdict_table(judged)
    render.terminal(shown, console)
    files = {
        f"{shown.name}.md": f"## {shown.title}\n\n{render.markdown(shown)}",
        f"{shown.name}.tex": "\n".join(map(render.latex, verdicts.pages(shown))),
        f"{shown.name}.csv": render.csv(verdicts.tidy(judged)),
    }
    for file, text in files.items():
        write_atomically(folder / "report" / file, text)
    return [folder / "report" / file for file in files]
