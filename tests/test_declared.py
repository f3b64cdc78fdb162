"""The settings of saved plans are compared with those that `experiments/` and `conf/` declare today."""

import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from resnet_ablations import declared, experiments
from resnet_ablations.declared import changes_since, settings
from resnet_ablations.experiments import load_experiment
from resnet_ablations.results.sweeps import SweepPlan
from resnet_ablations.sweep.planning import plan

ROOT = Path(__file__).parents[1]


NOT_SCIENTIFIC = {"seed", "experiment", "scale", "rows", "columns", "sweep", "frozen", "paths", "hydra"}


@cache
def planned(name: str, *overrides: str) -> SweepPlan:
    """Return the plan of a sweep of quick scale that the declarations of today make."""
    record = plan([f"experiment={name}", *overrides]).record
    assert record is not None
    return record


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of `experiments/` and `conf/`, to be changed, which the report reads."""
    for folder in ("experiments", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.setattr(experiments, "EXPERIMENTS", tmp_path / "experiments")
    monkeypatch.setattr(declared, "CONF", tmp_path / "conf")
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.search(old, text)
    path.write_text(re.sub(old, new, text), encoding="utf-8")


@pytest.mark.parametrize("name", ["depth", "imagenet_preactivation", "state_of_the_art", "after"])
def test_a_plan_of_today_has_no_change(name: str) -> None:
    """The YAML files, read without Hydra, give the settings that Hydra composes."""
    assert changes_since(planned(name), load_experiment(name)) == {}


def test_a_plan_with_overrides_of_its_own_has_no_change() -> None:
    overrides = ["schedule.learning_rate=5e-2", "schedule.milestones=[100,200]", "data.augmentation.flip=true"]
    assert changes_since(planned("warmup", *overrides), load_experiment("warmup")) == {}


def test_interpolations_and_numbers_in_lists_have_no_change() -> None:
    """YAML and Hydra read them differently."""
    overrides = ["bn_batch=${schedule.batch_size}", "network.widths=[1.6e1,16,16]"]
    assert changes_since(planned("warmup", *overrides), load_experiment("warmup")) == {}


def test_the_settings_are_those_that_hydra_composes() -> None:
    """Hydra adds the schema's own settings only; no setting of conf/ is missed."""
    for one in planned("shortcuts").configurations.values():
        then, now = declared.flat_settings(one.config), declared.settings(tuple(one.overrides))
        assert {key: value for key, value in now.items() if key in then} == {
            key: then[key] for key in then if key in now
        }
        assert set(then) - set(now) == {"data.fingerprint"}
        assert {key.partition(".")[0] for key in set(now) - set(then)} <= NOT_SCIENTIFIC


def test_a_row_with_other_overrides(copy: Path) -> None:
    record = planned("shortcuts")
    change(copy / "experiments" / "shortcuts.yaml", "shortcut.rate=0.5", "shortcut.rate=0.4")
    found = changes_since(record, load_experiment("shortcuts"))
    assert found == {("dropout", "error"): "shortcut.rate=0.5, now 0.4"}


def test_a_row_with_an_override_more_or_less(copy: Path) -> None:
    record = planned("shortcuts")
    change(
        copy / "experiments" / "shortcuts.yaml", r"\[shortcut=conv1x1\]", "[shortcut=conv1x1, schedule.nesterov=true]"
    )
    change(
        copy / "experiments" / "shortcuts.yaml", r"      - \[shortcut=exclusive_gating, shortcut.gate_bias=-5\]\n", ""
    )
    assert changes_since(record, load_experiment("shortcuts")) == {
        ("exclusive_gating_0_to_-5", "error"): "configurations=6, now 5",
        ("conv1x1", "error"): "schedule.nesterov=false, now true",
    }


def test_a_default_in_conf(copy: Path) -> None:
    record = planned("shortcuts")
    change(copy / "conf" / "shortcut" / "exclusive_gating.yaml", "decay_gate_bias: false", "decay_gate_bias: true")
    change(copy / "conf" / "schedule" / "paper.yaml", "momentum: 0.9", "momentum: 0.8")
    found = changes_since(record, load_experiment("shortcuts"))
    assert len(found) == 11
    assert found["original", "error"] == "schedule.momentum=0.9, now 0.8"
    gate = "shortcut.decay_gate_bias=false, now true; schedule.momentum=0.9, now 0.8"
    assert found["exclusive_gating_-6", "error"] == found["exclusive_gating_0_to_-5", "error"] == gate


def test_comments_devices_and_places_change_nothing(copy: Path) -> None:
    record = planned("shortcuts", "trainer=cpu")
    change(copy / "conf" / "shortcut" / "dropout.yaml", "inverted: false.*", "inverted: false # another remark")
    change(copy / "conf" / "trainer" / "auto.yaml", "$", "\n# more\n")
    assert changes_since(record, load_experiment("shortcuts")) == {}


def test_a_setting_that_came_later_is_no_change_unless_a_row_sets_it(copy: Path) -> None:
    record = planned("shortcuts")
    change(copy / "conf" / "schedule" / "paper.yaml", "momentum: 0.9", "momentum: 0.9\n  new: false")
    assert changes_since(record, load_experiment("shortcuts")) == {}
    change(copy / "experiments" / "shortcuts.yaml", r"\[shortcut=conv1x1\]", "[shortcut=conv1x1, schedule.new=true]")
    found = changes_since(record, load_experiment("shortcuts"))
    assert found == {("conv1x1", "error"): "schedule.new=null, now true"}


def test_a_scale_that_is_gone(copy: Path) -> None:
    record = planned("shortcuts")
    shortcuts = load_experiment("shortcuts")
    without = shortcuts.model_copy(update={"scales": {"paper": shortcuts.scales["paper"]}})
    assert set(changes_since(record, without)) == {(row.id, column.id) for row, column, _ in shortcuts.cells()}


def test_a_row_that_is_gone_is_left_to_the_notes(copy: Path) -> None:
    record = planned("shortcuts")
    shortcuts = load_experiment("shortcuts")
    assert changes_since(record, shortcuts.model_copy(update={"rows": shortcuts.rows[:-1]})) == {}


@pytest.mark.parametrize("place", ["@scratch/data", "*x", "%x", r"'/home/o\'brien/images'"])
def test_a_place_that_is_no_yaml_is_not_read(place: str) -> None:
    """Hydra's grammar allows it."""
    assert settings(["network=resnet20", f"paths.data={place}", f"data.root={place}"]) == settings(["network=resnet20"])


def test_a_setting_that_is_no_yaml_is_its_text() -> None:
    assert settings([r"network.label='a\'b'"])["network.label"] == r"'a\'b'"


def test_a_setting_that_a_sweep_deletes_is_no_change() -> None:
    planned = plan(["experiment=shortcuts", "~schedule.nesterov=false"]).record
    assert planned is not None
    assert changes_since(planned, load_experiment("shortcuts")) == {}
