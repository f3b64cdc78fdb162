import math
from pathlib import Path

import pandas as pd
import pytest
from made_tables import lines, sweep, table
from made_up import MadeUp

from resnet_ablations.report.tables.summary import agrees, orderings, summary

ONE_SEED = "One seed tells no order: differences between single runs are not compared with the paper’s."


def test_a_whole_sweep_of_one_seed(made_up: MadeUp) -> None:
    plan = made_up.plan()
    made_up.all_runs({"original": 4.0, "shortcut_only_gating_-6": 4.5})
    made = table(made_up, plan)
    found = lines(made_up, plan)
    assert [row[0] for row in made.rows] == [
        *("original", "constant scaling", "", "", "exclusive gating", "", "", "shortcut-only gating", ""),
        *("1×1 conv shortcut", "dropout shortcut"),
    ]
    assert found["original"] == {
        **{"case": "original", "Fig.": "2a", "on shortcut": "1", "on F": "1", "paper": "6.61", "ours": "4.00"},
        **{"vs original": "–", "n": "1/1", "remark": ""},
    }
    assert found["dropout"]["paper"] == "fail"
    assert found["dropout"]["ours"] == "50.00"
    assert found["dropout"]["vs original"] == "+46.00"
    gating = found["exclusive_gating_0_to_-5"]
    assert gating["ours"] == "50.00–55.00 (6 of 6 configurations)"
    assert (gating["vs original"], gating["n"]) == ("+46.00 to +51.00", "6/6")
    assert gating["remark"] == "init b_g = 0 to −5"
    assert made.notes == (ONE_SEED,)
    assert made.command is None


def test_the_caption_says_what_was_run(made_up: MadeUp) -> None:
    caption = table(made_up, made_up.plan()).caption
    assert "ResNet-56 on digits, 1,800 iterations of 32, 32-true; scale quick, seed 0" in caption
    assert "compare with “original” of this table" in caption
    assert "median" not in caption
    paper = table(made_up, made_up.plan("paper", (0, 1))).caption
    assert "ResNet-110 on CIFAR-10, 64,000 iterations of 128 (BN over 64), 32-true; scale paper, seeds 0, 1" in paper
    assert "median (mean ± sample standard deviation)" in paper
    assert "compare with" not in paper
    early = table(made_up, made_up.plan("early", overrides=("bn_batch=128",), name="shortcuts-early-123456")).caption
    assert "2,000 iterations of 128" in early
    assert "with bn_batch=128" in early
    assert "stop after 2,000 iterations" in early


def test_several_seeds_missing_ones_and_diverged_ones(made_up: MadeUp) -> None:
    plan = made_up.plan("small", seeds=(0, 1, 2, 3, 4))
    for seed, error in enumerate((6.0, 7.0, 8.0, 9.0, 15.0)):
        made_up.run("original", error, seed, scale="small")
    for seed, error in enumerate((30.0, 31.0, 35.0)):
        made_up.run("dropout", error, seed, scale="small")
    made_up.run("dropout", seed=3, scale="small", outcome="diverged", stop=100)
    made_up.run("conv1x1", seed=0, scale="small", outcome="diverged", stop=100)
    for seed in range(5):
        made_up.run("exclusive_gating_-7", seed=seed, scale="small", outcome="diverged", stop=100)
    found = lines(made_up, plan)
    assert found["original"]["ours"] == "8.00 (9.00 ± 3.54)"
    assert found["original"]["n"] == "5/5"
    assert found["dropout"]["ours"] == "31.00 (32.00 ± 2.65), 1 diverged"
    assert (found["dropout"]["n"], found["dropout"]["vs original"]) == ("3/5", "+23.00")
    assert found["conv1x1"]["ours"] == "1 diverged, 4 missing"
    assert (found["exclusive_gating_-7"]["ours"], found["exclusive_gating_-7"]["n"]) == ("5 diverged", "0/5")
    missing = found["exclusive_gating_-6"]
    assert (missing["ours"], missing["n"], missing["vs original"]) == ("missing", "0/5", "–")


def test_fail_is_the_papers_word_at_its_scale_only(made_up: MadeUp) -> None:
    for scale in ("paper", "small"):
        made_up.run("original", 6.5, scale=scale)
        made_up.run("dropout", 23.14, scale=scale)
        made_up.run("conv1x1", 20.0, scale=scale)
    at_paper, at_small = (lines(made_up, made_up.plan(scale)) for scale in ("paper", "small"))
    assert at_paper["dropout"]["ours"] == "fail (23.1)"
    assert at_paper["conv1x1"]["ours"] == "20.00"
    assert at_small["dropout"]["ours"] == "23.14"


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        ((21, 30, 40, 50, 60, 90), "fail (21.0–90.0; 6 of 6 configurations)"),
        ((10, 20, 40, 50, 60, 90), "10.00–90.00 (4 of 6 fail)"),
        ((10, 30, 40), "10.00–40.00 (2 of 3 fail; 3 of 6 configurations)"),
        ((30,), "30.00 (1 of 1 fail; 1 of 6 configurations)"),
    ],
)
def test_six_configurations_at_paper_scale(made_up: MadeUp, errors: tuple[float, ...], text: str) -> None:
    for index, error in enumerate(errors):
        made_up.run("exclusive_gating_0_to_-5", error, scale="paper", index=index)
    assert lines(made_up, made_up.plan("paper"))["exclusive_gating_0_to_-5"]["ours"] == text


def test_one_run_on_either_side_is_compared_with_nothing(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1))
    for cell, seeds in (("original", (0, 1)), ("conv1x1", (0, 1)), ("dropout", (0,))):
        for seed in seeds:
            made_up.run(cell, 4.0, seed)
    assert lines(made_up, plan)["conv1x1"]["vs original"] == "+0.00 †"
    assert lines(made_up, plan)["dropout"]["vs original"] == "+0.00"
    assert len(orderings(sweep(made_up, plan))) == 1
    assert table(made_up, plan).notes[1] == ONE_SEED
    (made_up.path / "runs" / f"{made_up.configuration('quick', 'original')}-s1" / "result.json").unlink()
    assert orderings(sweep(made_up, plan)).empty
    assert ONE_SEED in table(made_up, plan).notes


def test_a_row_that_differs_from_the_paper_is_marked_and_named(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1))
    errors = {"original": 4.0, "shortcut_only_gating_-6": 3.5, "conv1x1": 4.4, "dropout": 4.0}
    made_up.all_runs(errors, seeds=(0, 1))
    made = table(made_up, plan)
    found = lines(made_up, plan)
    assert found["shortcut_only_gating_-6"]["vs original"] == "−0.50 †"
    assert found["conv1x1"]["vs original"] == "+0.40 †"
    assert found["shortcut_only_gating_0"]["vs original"] == "+46.00"
    assert made.notes == (
        "† not as in the paper: the error of “shortcut-only gating (init b_g = −6)” is 0.50 points below that "
        "of “original”; in the paper it is 0.30 points above that.",
        "† not as in the paper: the error of “1×1 conv shortcut” is only 0.40 points above that of “original”; "
        "in the paper it is 5.61 points above that.",
        "† not as in the paper: the error of “dropout shortcut” is level with that of “original”; "
        "in the paper it is at least 13.39 points above that.",
    )


def test_no_ordering_is_claimed_without_a_baseline(made_up: MadeUp) -> None:
    plan = made_up.plan()
    made_up.run("conv1x1", 3.0)
    made = table(made_up, plan)
    assert lines(made_up, plan)["conv1x1"]["vs original"] == "–"
    assert made.notes == ()


def test_different_versions_of_the_code_are_named(made_up: MadeUp) -> None:
    plan = made_up.plan()
    made_up.run("original", 4.0)
    made_up.run("conv1x1", 30.0, commit="beefbeefbeefbeef")
    made_up.run("dropout", 30.0, commit=None, dirty=True)
    assert table(made_up, plan).notes == (
        ONE_SEED,
        "Mixed code versions: commits beefbeefbe, c0ffee0123 and unknown.",
        "Uncommitted changes: 1 of 3 runs.",
    )


def test_the_note_names_served_cells(made_up: MadeUp) -> None:
    plan = made_up.plan("early")
    made_up.run("original", 6.6, scale="paper", error_at=lambda iteration: 40.0)
    made = table(made_up, plan)
    assert lines(made_up, plan)["original"]["ours"] == "40.00"
    assert made.notes == ("Mixed scales: 1 of 1 run use iteration 2,000 of longer runs of scale paper.",)


@pytest.mark.parametrize(
    ("overrides", "results", "rest"),
    [
        ((), "results", ""),
        (("data=image_folder", "data.root=/d"), "results", " data=image_folder data.root=/d"),
        (("data.root=/my data",), "results", " 'data.root=/my data'"),
        (("data.root=$HOME/d",), "results", " 'data.root=$HOME/d'"),
        ((), "my results", ""),
    ],
)
def test_the_command_that_fills_the_gaps(made_up: MadeUp, overrides: tuple[str, ...], results: str, rest: str) -> None:
    plan = made_up.plan("small", seeds=(0, 1, 2), overrides=overrides)
    made_up.all_runs({}, seeds=(0,), scale="small")
    command = table(made_up, plan, Path(results)).command
    folder = "" if results == "results" else f"RESNET_ABLATIONS_RESULTS='{results}' "
    assert command == f"{folder}resnet-ablations sweep shortcuts scale=small seed=1,2{rest}"


def test_tidy_has_a_line_a_configuration(made_up: MadeUp) -> None:
    plan = made_up.plan("small", seeds=(0, 1))
    made_up.all_runs({"original": 4.0}, seeds=(0,), scale="small")
    made_up.run("original", 5.0, seed=1, scale="small")
    frame = summary(sweep(made_up, plan))
    assert len(frame) == 16
    original = frame.iloc[0].to_dict()
    assert (original["row"], original["printed"], original["scale"]) == ("original", 6.61, "small")
    assert (original["median"], original["mean"], original["n"], original["seeds"]) == (4.5, 4.5, 2, "0 1")
    assert original["std"] == pytest.approx(0.5**0.5)
    assert (original["seconds"], original["train_error"], original["overrides"]) == (80.0, 1.5, "shortcut=identity")
    gating = frame[frame["row"] == "exclusive_gating_0_to_-5"]
    assert gating["vs_baseline"].tolist() == [45.5, 46.5, 47.5, 48.5, 49.5, 50.5]
    assert gating["missing"].tolist() == [1] * 6


@pytest.mark.parametrize(
    ("ours", "paper", "expected"),
    [
        (30.0, 13.39, True),
        (0.9, 5.74, False),  # the paper's difference is clear, ours is not
        (1.0, 5.74, True),
        (-0.1, 5.74, False),
        (0.1, 0.3, True),
        (0.0, 0.3, False),
        (-0.1, 0.3, False),
        (-0.2, -0.24, True),
        (0.2, -0.24, False),
        (5.0, 0.0, True),
    ],
)
def test_ordering(ours: float, paper: float, expected: bool) -> None:
    assert agrees(pd.Series([ours]), pd.Series([paper])).tolist() == [expected]


def test_ordering_takes_the_configuration_that_is_least_as_in_the_paper(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1))
    made_up.all_runs({"original": 4.0, "exclusive_gating_0_to_-5": 3.0}, seeds=(0, 1))
    found = orderings(sweep(made_up, plan))
    gating = found.loc[("exclusive_gating_0_to_-5", "error"), ["ours", "paper", "is_bound", "configurations", "agrees"]]
    assert gating.tolist() == [-1.0, 13.39, True, 6, False]
    assert "original" not in found.index.get_level_values("row")


def test_statistics_by_hand(made_up: MadeUp) -> None:
    plan = made_up.plan(seeds=(0, 1, 2, 3, 4))
    for seed, error in enumerate((6.0, 7.0, 8.0, 9.0, 15.0)):
        made_up.run("original", error, seed)
    made_up.run("dropout", 6.0)
    made_up.run("dropout", seed=1, outcome="diverged", stop=900)
    found = summary(sweep(made_up, plan)).set_index("row")
    five, one, none = found.loc["original"], found.loc["dropout"], found.loc["conv1x1"]
    assert (five["n"], five["median"], five["mean"]) == (5, 8, 9)
    assert five["std"] == pytest.approx(math.sqrt(50 / 4))
    assert (one["n"], one["median"], one["diverged"], one["missing"], one["seconds"]) == (1, 6.0, 1, 3, 80.0)
    assert math.isnan(one["std"])
    assert (none["n"], none["missing"]) == (0, 5)
    assert none[["median", "mean", "std"]].isna().all()
