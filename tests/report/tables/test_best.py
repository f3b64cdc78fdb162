"""The best of our numbers in each column."""

import io
import re

import declared
from made_tables import table
from made_up import Declare, MadeUp
from rich.console import Console

from resnet_ablations.report.tables.formats import latex, markdown, terminal
from resnet_ablations.report.tables.table import ShownCell, Table, TableColumn
from resnet_ablations.results.sweeps import SweepPlan


def best(made_up: MadeUp, plan: SweepPlan) -> set[tuple[str, str]]:
    made, ids = table(made_up, plan), [row.id for row in made_up.experiment.rows]
    found = {(ids[row], made.columns[place].heading) for (row, place), cell in made.cells.items() if cell.is_best}
    assert ("Bold: " in made.caption) is bool(found)
    return found


def test_the_lowest_error_and_what_is_printed_like_it(made_up: MadeUp) -> None:
    made_up.all_runs({"original": 4.0, "dropout": 3.504, "conv1x1": 3.4951, "exclusive_gating_0_to_-5": 1.0})
    plan = made_up.plan()
    # The best of six configurations would be chosen by its test error.
    assert best(made_up, plan) == {("dropout", "ours"), ("conv1x1", "ours")}


def test_only_cells_with_all_their_seeds_are_compared(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1))
    for seed in (0, 1):
        made_up.run("original", 6.0, seed)
    made_up.run("dropout", 3.0)
    made_up.run("conv1x1", 2.0)
    made_up.run("conv1x1", seed=1, outcome="diverged", stop=100)
    assert best(made_up, plan) == set(), "one alone is not the best of anything"
    for seed in (0, 1):
        made_up.run("exclusive_gating_-6", 7.0, seed)
    assert best(made_up, plan) == {("original", "ours")}


def test_errors_on_other_images_are_not_compared(declare: Declare) -> None:
    made_up = declare(declared.UNITS)
    errors = {"c10_110/old": 7.0, "c10_110/new": 6.5, "c10_1layer/old": 10.0, "c10_1layer/new": 5.0}
    made_up.all_runs(errors | {"c100_1001/old": 3.0, "c100_1001/new": 2.0})
    # Made-up configurations say their data set in the overrides alone.
    plan = made_up.plan()
    for planned in plan.configurations.values():
        if "data=CIFAR100" in planned.overrides:
            planned.config["data"]["_target_"] = "resnet_ablations.data.sources.CIFAR100"
    assert best(made_up, plan) == {("c10_110", "baseline unit ours"), ("c10_1layer", "pre-activation unit ours")}


def test_a_fail_is_never_the_best(made_up: MadeUp) -> None:
    for scale in ("paper", "small"):
        made_up.run("original", 30.0, scale=scale)
        made_up.run("dropout", 25.0, scale=scale)
    assert best(made_up, made_up.plan("paper")) == set()
    assert best(made_up, made_up.plan("small")) == {("dropout", "ours")}


def test_responses_have_no_best(declare: Declare) -> None:
    responses = declare(declared.RESPONSES)
    for row in ("plain20", "resnet20"):
        responses.run(f"{row}/mean", metrics={"response_mean": 1.5, "response_max": 25.0})
    assert best(responses, responses.plan()) == set()


def test_bold_in_every_format() -> None:
    columns = (
        TableColumn("case"),
        TableColumn("ours"),
        TableColumn("aside", is_aside=True),
        TableColumn("more"),
    )
    cells = {(0, 1): ShownCell(("a", "c"), is_best=True), (0, 3): ShownCell(("a", "d"), is_best=True)}
    made = Table("n", "t", "c", columns, (("a", "1_0", "x", "b*"), ("d", "2", "y", "e")), cells=cells)
    assert r"| a | **1\_0** | x | **b\*** |" in markdown(made)
    assert r"a & \textbf{1\_0} & \textbf{b{*}} \tabularnewline" in latex(made)
    out = io.StringIO()
    terminal(made, Console(file=out, width=80, force_terminal=True, highlight=False))
    assert {"1_0", "b*"} <= {text.strip() for text in re.findall(r"\x1b\[1m(.*?)\x1b\[0m", out.getvalue())}
    assert "\x1b[1m2" not in out.getvalue()
