"""Tables of several columns, and what only some experiments have."""

import io
import math

import declared
import pytest
from made_tables import lines, sweep, table
from made_up import Declare
from rich.console import Console

from resnet_ablations.console import WIDTH
from resnet_ablations.report.tables.formats import latex, markdown, terminal
from resnet_ablations.report.tables.summary import summary


def test_two_columns_each_with_the_papers_and_ours(declare: Declare) -> None:
    made_up = declare(declared.PLACEMENTS)
    made_up.all_runs({"original/r110": 6.5, "original/r164": 6.0, "bn/r110": 8.0, "bn/r164": 5.5}, (0, 1), "paper")
    plan = made_up.plan("paper", (0, 1))
    found = lines(made_up, plan)
    assert found["bn"] == {
        **{"case": "BN after addition", "Fig.": "4b", "ResNet-110 paper": "8.17"},
        **{"ResNet-110 ours": "8.50 (8.50 ± 0.71)", "ResNet-164 paper": "6.50"},
        **{"ResNet-164 ours": "6.00 (6.00 ± 0.71) †", "n": "2/2"},
    }
    made = table(made_up, plan)
    assert made.notes[0] == (
        "† not as in the paper: the error of “BN after addition, ResNet-164” is 0.50 points below that of “original”; "
        "in the paper it is 0.57 points above that."
    )
    assert "on CIFAR-10" in made.caption
    assert "fail" not in made.caption
    # 50 % is no "fail" where the paper does not use that word.
    assert found["pre"]["ResNet-110 ours"] == "50.50 (50.50 ± 0.71) †"


def test_against_the_first_column(declare: Declare) -> None:
    made_up = declare(declared.UNITS)
    made_up.all_runs({"c10_110/old": 7.0, "c10_110/new": 6.5, "c10_1layer/old": 10.0, "c10_1layer/new": 11.0}, (0, 1))
    plan = made_up.plan(seeds=(0, 1))
    found = lines(made_up, plan)
    assert [row["data"] for row in found.values()] == ["CIFAR-10", "", "CIFAR-100"]
    assert found["c10_110"]["pre-activation unit ours"] == "7.00 (7.00 ± 0.71)"
    assert found["c10_1layer"]["pre-activation unit ours"] == "11.50 (11.50 ± 0.71) †"
    made = table(made_up, plan)
    assert made.notes[0] == (
        "† not as in the paper: the error of “CIFAR-10 (ResNet-110 (1layer)), pre-activation unit” is 1.00 points "
        "above that of “baseline unit”; in the paper it is 0.99 points below that."
    )
    assert "compare with “baseline unit” of this table" in made.caption
    assert "ResNet-110 (basic)/ResNet-110 (1 layer)/ResNet-1001 on CIFAR-10/CIFAR-100" in made.caption
    frame = summary(sweep(made_up, plan)).set_index(["row", "column"])
    assert frame.loc[("c10_1layer", "new"), "vs_baseline"] == 1.0
    assert math.isnan(frame.loc[("c10_1layer", "old"), "vs_baseline"])


def test_rows_of_other_authors_and_empty_cells(declare: Declare) -> None:
    made_up = declare(declared.METHODS)
    plan = made_up.plan()
    made_up.run("r164/c100", 24.5)
    made_up.run("r1001/c10", 5.0)
    found = lines(made_up, plan)
    assert [column.heading for column in table(made_up, plan).columns] == [
        *("method", "CIFAR-10 paper", "CIFAR-10 ours", "CIFAR-100 paper", "CIFAR-100 ours", "n", "remark"),
    ]
    assert list(found["nin"].values()) == ["NIN", "8.81", "–", "35.68", "–", "–", ""]
    assert list(found["lsuv"].values()) == ["FitResNet-LSUV", "5.84", "–", "", "", "–", "no other"]
    assert list(found["r164"].values()) == ["ResNet-164", "", "", "25.16", "24.50", "1/1", ""]
    assert list(found["r1001"].values()) == ["ResNet-1001", "4.92", "5.00", "22.71", "missing", "1/1, 0/1", ""]
    made = table(made_up, plan)
    assert "no number is comparable with the paper’s numbers" in made.caption
    assert made.notes == ()


def test_the_notes_name_missing_rows_and_replacements(declare: Declare) -> None:
    shallow = ["network.depth=56", "network.kernels=[3,3]"]
    fewer = {"network.depth=164": shallow, "network.depth=1001": None, "data=CIFAR10": ["data=CIFAR10", "bn_batch=16"]}
    made_up = declare(declared.METHODS, replacements=fewer)
    plan = made_up.plan("small")
    found = lines(made_up, plan)
    assert list(found["r1001"].values()) == ["ResNet-1001", "4.92", "–", "22.71", "–", "–", ""]
    assert found["r164"]["CIFAR-100 ours"] == "missing"
    assert table(made_up, plan).notes == (
        "At this scale network.depth=56 with network.kernels=[3,3] replaces network.depth=164; "
        "bn_batch=16 is added to data=CIFAR10.",
        "Not run at this scale: ResNet-1001.",
    )


def test_a_row_run_in_part_names_its_column(declare: Declare) -> None:
    fewer = {"network.depth=164": None, "network.depth=110": ["network.depth=56"], "activation=pre": ["activation=bn"]}
    made_up = declare(declared.PLACEMENTS, replacements=fewer)
    assert table(made_up, made_up.plan("small")).notes == (
        "At this scale network.depth=56 replaces network.depth=110; activation=bn replaces activation=pre.",
        "Not run at this scale: original, ResNet-164; BN after addition, ResNet-164; full pre-activation, ResNet-164.",
    )


def test_digitised_numbers_and_columns_without_any(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS)
    plan = made_up.plan()
    made_up.run("d20/plain", 9.5, train_error=1.25)
    made_up.run("d20/resnet", 8.5, train_error=0.5)
    (twenty, *_) = lines(made_up, plan).values()
    assert twenty == {
        **{"depth": "20", "plain test paper": "≈ 9.69", "plain test ours": "9.50"},
        **{"plain train paper": "≈ 1.3", "plain train ours": "1.25"},
        **{"ResNet test paper": "8.75", "ResNet test ours": "8.50", "ResNet train ours": "0.50", "n": "1/1"},
        "remark": "the paper has more to say",
    }
    caption = table(made_up, plan).caption
    assert "Shown: test error (%); training error (%). The numbers are those of the final iteration; n = " in caption
    assert "5 networks on digits" in caption
    frame = summary(sweep(made_up, plan))
    first, second = frame.iloc[0].to_dict(), frame.iloc[1].to_dict()
    assert (first["column"], first["metric"], first["digitised"], first["median"]) == ("plain", "test_error", 9.69, 9.5)
    assert (second["metric"], second["digitised"], second["median"]) == ("train_error", 1.3, 1.25)
    assert first["configuration"] == second["configuration"]


def test_an_error_against_a_digitised_one(declare: Declare) -> None:
    made_up = declare(declared.DEPTHS.replace("columns:", "baseline: first_row\ncolumns:", 1))
    for seed in (0, 1):
        made_up.run("d20/plain", 9.5, seed)
        made_up.run("d32/plain", 9.0, seed)
    assert lines(made_up, made_up.plan(seeds=(0, 1)))["d32"]["plain test ours"] == "9.00 (9.00 ± 0.00) †"


def test_rows_may_share_a_run_and_differ_in_the_metric(declare: Declare) -> None:
    made_up = declare(declared.CROPS)
    plan = made_up.plan()
    made_up.run("r152_224/top1", 23.5, metrics={"top5_error": 6.5, "crop320_error": 21.5, "crop320_top5_error": 5.25})
    found = lines(made_up, plan)
    assert list(found["r152_224"].values()) == ["ResNet-152", "224", "23.0", "23.50", "6.7", "6.50", "1/1"]
    assert list(found["r152_320"].values()) == ["", "320", "21.3", "21.50", "5.5", "5.25", "1/1"]
    caption = table(made_up, plan).caption
    assert "The images are generated; they are not from ImageNet." in caption
    assert "on generated images, " in caption
    assert "top-5 test error (%); test error (%), one crop of 320" in caption


def test_a_finished_run_without_the_metric_is_missing(declare: Declare) -> None:
    made_up = declare(declared.CROPS)
    plan = made_up.plan(seeds=(0, 1))
    old = made_up.run("r152_224/top1", 23.5, metrics={"top5_error": 6.5})
    found = lines(made_up, plan)
    assert (found["r152_224"]["top-1 ours"], found["r152_224"]["n"]) == ("23.50", "1/2")
    assert (found["r152_320"]["top-1 ours"], found["r152_320"]["n"]) == ("missing", "0/2")
    made = table(made_up, plan)
    assert made.notes == (
        f"1 finished run has no crop320_error (test error (%), one crop of 320): delete {old.key} to train again.",
        "1 finished run has no crop320_top5_error (top-5 test error (%), one crop of 320): "
        f"delete {old.key} to train again.",
    )
    assert made.command == "resnet-ablations sweep declared scale=quick seed=0,1"


def test_a_longer_run_serves_its_errors_and_no_other_metric(declare: Declare) -> None:
    made_up = declare(declared.CROPS)
    plan = made_up.plan("early")
    made_up.run("r152_224/top1", 23.5, scale="paper", error_at=lambda _: 40.0, metrics={"top5_error": 6.5})
    found = summary(sweep(made_up, plan))
    assert found["median"].tolist()[0] == 40.0
    assert found.loc[1, "column"] == "top5"
    assert (math.isnan(found.loc[1, "median"]), found.loc[1, "missing"]) == (True, 1)


def test_each_configuration_ends_at_its_own_iteration(declare: Declare) -> None:
    text = declared.BIASES.replace("gate_bias=-6,", "gate_bias=-6, schedule.iterations=1000,")
    made_up = declare(text)
    plan = made_up.plan("early")
    made_up.run("b0", 6.0, scale="paper", error_at=lambda iteration: iteration / 100)
    made_up.run("b6", 5.0, scale="paper", error_at=lambda iteration: iteration / 100, stop=64_000)
    assert summary(sweep(made_up, plan))["median"].tolist() == [20.0, 10.0]
    assert "use iteration 1,000 and 2,000 of longer runs" in table(made_up, plan).notes[0]
    assert "1,000/2,000 iterations of 128" in table(made_up, plan).caption


def test_the_caption_names_held_out_images(declare: Declare) -> None:
    made_up = declare(declared.BIASES)
    plan = made_up.plan()
    made_up.run("b0", 9.0)
    made_up.run("b6", 8.0)
    made = table(made_up, plan)
    assert [column.heading for column in made.columns] == ["b_g", "ours", "vs b_g = 0", "n"]
    assert made.rows == (("0", "9.00", "–", "1/1"), ("−6", "8.00", "−1.00", "1/1"))
    assert "The test error is measured on 5,000 held-out training images, not on the test set." in made.caption
    assert "paper’s numbers" not in made.caption
    text = declared.BIASES.replace("gate_bias=0, data.held_out=5000", "gate_bias=0")
    made_up = declare(text)
    assert (
        "The test error of 1 of 2 configurations is measured on 5,000" in table(made_up, made_up.plan("small")).caption
    )


def test_responses_are_no_errors(declare: Declare) -> None:
    made_up = declare(declared.RESPONSES)
    plan = made_up.plan("paper")
    made_up.run("plain20/mean", scale="paper", metrics={"response_mean": 1.5, "response_max": 25.0})
    made_up.run("resnet20/mean", scale="paper", metrics={"response_mean": 1.75, "response_max": 30.0})
    found = lines(made_up, plan)
    assert list(found["resnet20"].values()) == ["ResNet-20", "≈ 1.62", "1.75", "≈ 2.50", "30.00", "1/1"]
    assert table(made_up, plan).notes == ()


@pytest.mark.parametrize(
    "text", [declared.PLACEMENTS, declared.UNITS, declared.METHODS, declared.CROPS, declared.DEPTHS, declared.RESPONSES]
)
def test_every_shape_fits_a_terminal_and_every_format(declare: Declare, text: str) -> None:
    made_up = declare(text)
    seeds = (0, 1, 2, 3, 4)
    plan = made_up.plan("paper", seeds)
    metrics = dict.fromkeys(
        ("top5_error", "crop320_error", "crop320_top5_error", "response_mean", "response_max"), 25.5
    )
    for row, column, _ in made_up.experiment.cells():
        for index in range(len(row.configurations)):
            for seed in seeds:
                made_up.run(
                    f"{row.id}/{column.id}",
                    *(25.0 + 2 * seed, seed),
                    scale="paper",
                    index=index,
                    metrics={name: value + 2 * seed for name, value in metrics.items()},
                )
    made = table(made_up, plan)
    out = io.StringIO()
    terminal(made, Console(file=out, width=200, highlight=False))
    assert max(map(len, out.getvalue().splitlines())) <= WIDTH
    grid = out.getvalue().split("─\n")[1].partition("\n\n")[0]
    # Nothing is broken where it could stand in one line; beside many columns it cannot.
    if len(made_up.experiment.columns) <= 3:
        assert "± 3.16)" in grid
        assert all(text.count("(") == text.count(")") for text in grid.splitlines())
    assert "3.16)" in grid
    assert latex(made).isascii()
    widths = {line.count("|") for line in markdown(made).splitlines() if line.startswith("|")}
    assert len(widths) == 1
