"""From overrides to a checked configuration: every mistake is reported at once, with the allowed values."""

import logging
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path
from typing import cast

import pytest
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from resnet_ablations import composition, train
from resnet_ablations.config import RunConfig
from resnet_ablations.data.imagenet import ImageNet
from resnet_ablations.errors import UserError, exit_on_user_error
from resnet_ablations.overrides import checked, choices_of, compose, freeze, line_of, sweep_settings
from resnet_ablations.paths import CONF, ROOT
from resnet_ablations.results.keys import NUMBERS, without_locations
from resnet_ablations.sweep.planning import plan

Config = Callable[..., RunConfig]


def refused(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(UserError) as error:
        compose(list(overrides))
    return error.value.messages


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["shortcut=identiy"], ["shortcut=identiy", "identity", "conv1x1", "dropout"]),
        (["network=resnet57"], ["network=resnet57", "resnet56", "resnet110"]),
        (["network=_cifar"], ["network=_cifar", "resnet56"]),
        (["data=mnist"], ["data=mnist", "digits", "cifar10", "image_folder"]),
        (["network.depth=57"], ["network.depth=57", "6n+2"]),
        (["network.depth=deep"], ["network.depth=deep", "integer"]),
        (["network.init=xavier"], ["network.init=xavier", "fan_in", "fan_out"]),
        (["network.dimension_change=b"], ["network.dimension_change=b", "zero_pad", "average_pool"]),
        (["network.deepth=56"], ["network.deepth=56", "network.depth"]),
        (["netwrok.depth=56"], ["netwrok", "network"]),
        (["shortcut=dropout", "shortcut.rate=1.5"], ["shortcut.rate=1.5", "less than 1"]),
        (["shortcut=dropout", "shortcut.rate=0"], ["shortcut.rate=0", "greater than 0"]),
        (["shortcut=identity", "shortcut.rate=0.5"], ["shortcut.rate=0.5", "no such key"]),
        (["shortcut=exclusive_gating", "shortcut.gate_bias=nan"], ["shortcut.gate_bias=nan", "finite"]),
        (["shortcut=exclusive_gating", "shortcut.gate_weights=one"], ["shortcut.gate_weights=one", "he", "zero"]),
        (["schedule.batch_size=0"], ["schedule.batch_size=0", "greater than or equal to 1"]),
        (["schedule.batch_size=48"], ["bn_batch=32", "schedule.batch_size=48", "divide"]),
        (["schedule.iterations=-5"], ["schedule.iterations=-5"]),
        (["schedule.learning_rate=inf"], ["schedule.learning_rate=inf", "finite"]),
        (["schedule.learning_rate=0"], ["schedule.learning_rate=0"]),
        (["schedule.momentum=1.1"], ["schedule.momentum=1.1"]),
        (["schedule.weight_decay=-1"], ["schedule.weight_decay=-1"]),
        (["schedule.milestones=[5,3]"], ["schedule.milestones=[5, 3]", "increasing order"]),
        (["schedule.milestones=[3,3]"], ["schedule.milestones=[3, 3]", "increasing order"]),
        (["activation.between=[bn,tanh]"], ["activation.between.1=tanh", "bn", "relu"]),
        (["precision=16"], ["precision=16", "32-true", "bf16-mixed"]),
        (["trainer.accelerator=tpu"], ["trainer.accelerator=tpu", "cpu"]),
        (["trainer.threads=0"], ["trainer.threads=0"]),
        (["bn_batch=0"], ["bn_batch=0"]),
        (["seed=-1"], ["seed=-1"]),
        (["seed=4294967296"], ["seed=4294967296"]),
        (["colour=red"], ["colour=red", "no such key"]),
        (["+colour=red"], ["colour=red", "no such key"]),
        (["seed=0,1"], ["seed=0,1", "-m"]),
        (["shortcut=identity,dropout"], ["shortcut=identity,dropout", "-m"]),
        (["seed"], ["seed"]),
        (["schedule.milestones=[1,"], ["schedule.milestones=[1,"]),
        (["data=image_folder", "data.root=/nowhere"], ["data.root=/nowhere", "train/CLASS"]),
        (["data=image_folder"], ["data.root: must be given, as data.root=VALUE"]),
        (["data=cifar10", "data.root=/no/where"], ["data.root=/no/where"]),
        (["data.normalisation=none"], ["data.normalisation=none", "per_pixel_mean", "per_channel"]),
        (["data.augmentation.pad=-1"], ["data.augmentation.pad=-1"]),
        (["shortcut=null"], ["shortcut", "identity"]),
        (["network=5"], ["network=5", "resnet56"]),
        (["schedule=null"], ["schedule", "paper"]),
    ],
    ids=lambda value: value[-1] if "=" in value[-1] else "",
)
def test_a_mistake_is_named_with_its_key_its_value_and_what_is_allowed(overrides: list[str], named: list[str]) -> None:
    (message,) = refused(*overrides)
    assert all(part in message for part in named), message
    assert "\n" not in message
    assert "++" not in message


def test_several_mistakes_are_named_together() -> None:
    messages = refused(
        "shortcut=identiy",
        "network.depth=57",
        "schedule.batch_size=0",
        "seed=-1",
        "colour=red",
        "data=image_folder",
        "data.root=/nowhere",
    )
    expected = ["shortcut=identiy", "network.depth=57", "batch_size=0", "seed=-1", "colour=red", "data.root=/nowhere"]
    assert [sum(part in message for message in messages) for part in expected] == [1] * 6
    assert len(messages) == 6


def test_a_group_cannot_be_taken_away() -> None:
    assert all(message.startswith("shortcut") for message in refused("~shortcut"))


def test_settings_of_an_unknown_option_are_not_checked() -> None:
    assert len(refused("shortcut=dropuot", "shortcut.rate=0.4")) == 1


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "torch.nn.Identity",
        "builtins.eval",
        "resnet_ablations.network.shortcuts.torch",
        "resnet_ablations.network.shortcuts.nn.Identity",
        "resnet_ablations.network.shortcuts.Shortcut",
        "resnet_ablations.network.resnet.ResNet",
        "resnet_ablations.data.sources.Digits",
        "resnet_ablations.errors.UserError",
        "resnet_ablations.nowhere.Shortcut",
        "resnet_ablations_evil.Shortcut",
        "Identity",
        "''",
        "null",
        "3",
    ],
)
def test_only_shortcuts_of_this_package_can_be_shortcuts(target: str) -> None:
    messages = refused(f"shortcut._target_={target}")
    assert any(message.startswith("shortcut._target_=") and "Shortcut" in message for message in messages)


def test_a_class_of_another_package_is_not_even_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing a module executes it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "elsewhere.py").write_text(
        "from resnet_ablations.network.shortcuts import Identity\nclass Mine(Identity.__base__):\n"
        "    def __init__(self, unit): super().__init__()\n    def forward(self, x, residual): return residual\n"
    )
    assert "must name a Shortcut class" in refused("shortcut._target_=elsewhere.Mine")[0]
    assert "elsewhere" not in sys.modules


@pytest.mark.parametrize("target", ["torch.nn.Identity", "resnet_ablations.network.shortcuts.Identity", "os.system"])
def test_only_sources_of_this_package_can_be_data(target: str) -> None:
    messages = refused(f"data._target_={target}")
    assert any(message.startswith("data._target_=") and "Source" in message for message in messages)


def test_a_wrong_class_does_not_hide_other_mistakes() -> None:
    messages = refused("data._target_=os.system", "shortcut._target_=os.system", "network.depth=57")
    assert [sum(part in m for m in messages) for part in ("data._target_", "shortcut._target_", "57")] == [1, 1, 1]


def test_the_default_is_the_baseline_of_the_quick_table() -> None:
    run = compose([])
    assert run.shortcut.target == "resnet_ablations.network.shortcuts.Identity"
    assert run.data.target == "resnet_ablations.data.sources.Digits"
    assert (run.network.depth, run.seed, run.precision) == (56, 0, "32-true")


@pytest.mark.parametrize(
    "group", sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")
)
def test_every_option_of_every_group_composes(config: Config, group: str, tmp_path: Path) -> None:
    options = [path.stem for path in (CONF / group).glob("*.yaml") if not path.stem.startswith("_")]
    assert options
    for option in set(options) - {"image_folder", "imagenet"}:  # which have no images here
        # Of as many groups as any option has devices.
        assert compose([f"{group}={option}", "bn_batch=8", f"paths.data={tmp_path}"]).key


@pytest.mark.parametrize("schedule", ["digits", "small", "paper"])
def test_bn_batch_follows_the_schedule_and_the_users_wins(schedule: str) -> None:
    run = compose([f"schedule={schedule}"])
    assert run.bn_batch == (32 if schedule == "digits" else 64)
    assert compose([f"schedule={schedule}", "bn_batch=16"]).bn_batch == 16
    assert compose(["bn_batch=16", f"schedule={schedule}"]).bn_batch == 16


def test_a_composed_configuration_is_plain_data_and_can_be_validated_again(config: Config) -> None:
    """A configuration is sent to other processes and written to config.yaml."""
    from resnet_ablations.config import validate

    tree = config("shortcut=exclusive_gating").as_dict()
    assert pickle.loads(pickle.dumps(tree)) == tree
    assert validate(tree).as_dict() == tree


def test_places_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_ABLATIONS_RESULTS", "/some/results")
    monkeypatch.setenv("RESNET_ABLATIONS_DATA", "/some/data")
    run = compose([])
    assert (run.paths.results, run.paths.data) == ("/some/results", "/some/data")
    assert compose(["paths.results=here"]).paths.results == "here"


def test_compose_leaves_no_files_and_no_global_state(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`compose` leaves no files, no state of Hydra, no loggers, so a notebook may call it repeatedly."""
    monkeypatch.chdir(tmp_path)
    handlers = list(logging.getLogger().handlers)
    assert compose([]).key == compose([]).key
    with pytest.raises(UserError):
        compose(["shortcut=identiy"])
    assert compose([]).seed == 0
    assert not GlobalHydra.instance().is_initialized()
    assert logging.getLogger().handlers == handlers
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["schedule=small", "network=resnet164", "activation=full_preactivation", "shortcut=plain"],
        ["bn_batch=16", "schedule=small", "shortcut=exclusive_gating", "shortcut.gate_bias=-6", "seed=3"],
        ["network.units=[1,1,2]", "network.depth=10", "schedule.milestones=[1,2]", "data.augmentation={pad:1}"],
        ["++seed=1", "seed=2", "data.held_out=10", "logger=wandb", "trainer=cpu", "trainer.threads=null"],
        ["~data.augmentation.pad", "+data.augmentation.pad=1", "seed=4"],
        ["data=generated", "data.crop=16", "hydra.job.name=x"],
    ],
)
def test_the_composed_configuration_is_the_one_that_hydra_composes(overrides: list[str]) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        expected = checked(hydra_compose("train", overrides))
    for _ in range(2):
        assert compose(overrides).as_dict() == expected.as_dict()


REFUSED = {
    "hydra.mode=MULTIRUN": "hydra.mode: no setting; -m, or resnet-ablations sweep, makes a sweep",
    "hydra.searchpath=[/x]": "hydra.searchpath: the configuration is conf/ alone",
    "+hydra.job.env_set.A=1": "hydra.job.env_set.A: the processes of runs have the environment",
    "hydra.job={env_set:{A:1}}": "hydra.job: sets hydra.job.env_set and others at once; give one setting at a time",
    "++hydra={job:{env_copy:[A]}}": "hydra: sets ",
    "network.label=${now:%S}": r"network.label=\$\{now:%S\}: runs are checked and keyed without Hydra's own values",
    "paths.results=${ hydra:runtime.cwd}/x": "paths.results=.* Hydra's own values",
}


@pytest.mark.parametrize("line", REFUSED)
def test_python_and_the_command_line_refuse_the_same(line: str) -> None:
    for refuse in (
        lambda: compose([line]),
        lambda: train._check_hydra_options(get_args_parser().parse_args([line])),
    ):
        with pytest.raises(UserError, match=f"^{REFUSED[line]}"):
            refuse()


@pytest.mark.parametrize("line", ["schedule.iterations@foo=3", "seed@_global_=1", "+network.x@y=1", "nope@x=1"])
def test_a_package_of_a_setting_is_refused(line: str) -> None:
    with pytest.raises(UserError, match="@ is for groups"):
        compose([line])


def test_every_option_in_a_combination_is_as_hydra_composes_it() -> None:
    """Hydra composes each group alone, and the combinations are made of them."""
    options = composition.group_options()
    for number in range(max(map(len, options.values()))):
        lines = [f"{group}={names[number % len(names)]}" for group, names in options.items()]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            expected = hydra_compose("train", lines)
        composed = composition._composed_groups(tuple(lines), composition._conf_times())
        assert composed == expected
        assert list(composed) == list(expected)


def test_hydra_composes_each_option_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep of 500 configurations has few options, and Hydra takes a tenth of a second for each call."""
    composed: list[tuple[str, ...]] = []
    by_hydra = composition._composed_by_hydra.__wrapped__

    def counting(groups: tuple[str, ...], conf_times: tuple[float, ...]) -> DictConfig:
        composed.append(groups)
        return by_hydra(groups, conf_times)

    for function in (composition._composed_groups, composition._group_alone):
        function.cache_clear()
    monkeypatch.setattr(composition, "_composed_by_hydra", cache(counting))
    choices = [("resnet20", "resnet32"), ("identity", "dropout", "none"), ("original", "full_preactivation")]
    for network, shortcut, activation in product(*choices):
        compose([f"network={network}", f"shortcut={shortcut}", f"activation={activation}"])
    assert len(composed) == 1 + 2 + 3 + 2


def test_an_option_that_changes_other_groups_is_composed_by_hydra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    monkeypatch.setattr(composition, "CONF", conf)
    (conf / "logger" / "long.yaml").write_text(
        "# @package _global_\ndefaults: [none@logger]\nschedule: {iterations: 7}\n"
    )
    composition.options_of.cache_clear()
    composition._config_loader.cache_clear()
    lines = ("logger=long", "shortcut=dropout")
    try:
        composed = composition._composed_groups(lines, composition._conf_times())
    finally:
        composition.options_of.cache_clear()
        composition._config_loader.cache_clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        assert composed == hydra_compose("train", list(lines))
    assert composed.schedule.iterations == 7


def test_a_changed_file_of_conf_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    monkeypatch.setattr(composition, "CONF", conf)
    before = compose(["shortcut=dropout"])
    file = conf / "shortcut" / "dropout.yaml"
    file.write_text(file.read_text().replace("rate: 0.5", "rate: 0.25"))
    os.utime(file, (1, 1))
    assert [before.shortcut.rate, compose(["shortcut=dropout"]).shortcut.rate] == [0.5, 0.25]  # type: ignore[attr-defined]


def test_composing_inside_a_function_of_hydra_main(tmp_path: Path) -> None:
    """Hydra has one configuration folder at a time: the user's is there again afterwards."""
    (tmp_path / "mine.yaml").write_text("a: 1")
    expected = compose(["seed=3", "network=resnet20"]).as_dict()
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert compose(["network=resnet20", "seed=3"]).as_dict() == expected
        assert compose(["network=resnet20", "seed=3", "hydra.job.name=mine"]).as_dict() == expected
        assert hydra_compose("mine") == {"a": 1}


def test_a_users_mistake_is_its_lines_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, exit_on_user_error():
        raise UserError("one: do this", "two: do that")
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: one: do this\nerror: two: do that\n"


def test_any_other_error_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), exit_on_user_error():
        _ = 1 / 0


ODD = r"""a=b, 'c' "d" \ é ${x} {y} [z] $HOME ~ %41 #?"""


def test_a_frozen_configuration_comes_back_from_any_path(tmp_path: Path) -> None:
    run = compose(["network.depth=8", f"paths.data={tmp_path}"])
    run = run.model_copy(update={"paths": run.paths.model_copy(update={"results": str(tmp_path / ODD)})})
    assert compose(freeze(run)).as_dict() == run.as_dict()


def test_a_frozen_configuration_may_be_named_by_its_path(tmp_path: Path) -> None:
    run = compose([f"paths.results={tmp_path}"])
    run.folder.freeze(run.as_dict())
    assert compose([f"frozen={run.folder.config}"]).as_dict() == run.as_dict()


def test_a_frozen_configuration_refuses_other_overrides(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seed=1: the frozen configuration sets this key"):
        compose([f"frozen='{tmp_path}'", "seed=1"])


def test_an_integer_of_more_digits_than_python_reads() -> None:
    with pytest.raises(
        UserError, match=r"^seed=9{100,} … .* not a valid KEY=VALUE .*Exceeds the limit \(4300 digits\)"
    ):
        compose([f"seed={'9' * 5000}"])


def test_mistakes_of_a_frozen_configuration(tmp_path: Path) -> None:
    run = compose([f"paths.results={tmp_path}"])
    overrides = freeze(run)
    run.folder.config.unlink()
    with pytest.raises(UserError, match=r"config.yaml is missing; name a file"):
        compose(overrides)
    run.folder.freeze(run.with_seed(5).as_dict())
    with pytest.raises(UserError, match="not of its folder"):
        compose(overrides)
    for group, content in (("trainer", "3"), ("logger", "null"), ("paths", "[1]"), ("data", "x")):
        run.folder.freeze(run.as_dict() | {group: yaml.safe_load(content)})
        with pytest.raises(UserError, match=r"config.yaml is not the configuration of a run"):
            compose([*overrides, "trainer.threads=2"])
    run.folder.config.write_text("{")
    with pytest.raises(UserError, match=r"is no YAML: line 2: did not find expected node content; name a file"):
        compose(overrides)
    with pytest.raises(UserError, match=r"^frozen=file://%ff%00: a path has no null byte; name a file"):
        compose(["frozen='file://%ff%00'"])


def test_no_frozen_configuration_is_the_default() -> None:
    assert compose(["frozen=null", "seed=3"]) == compose(["seed=3"]) == compose(["frozen=x", "frozen=null", "seed=3"])


def test_mistakes_of_the_sweeps_settings() -> None:
    with pytest.raises(UserError) as error:
        sweep_settings(["sweep.retries=-1", "sweep.fail_fsat=true"])
    assert "sweep.retries=-1: must be greater than or equal to 0" in error.value.messages
    assert any(message.endswith("did you mean sweep.fail_fast?") for message in error.value.messages)
    with pytest.raises(UserError, match=r"^sweep.retries=true: must be a number"):
        sweep_settings(["sweep.retries=true"])


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["experiment=shortcuts", "scale=paper"], ["experiment=shortcuts: only a sweep", "scale=paper: only a sweep"]),
        (["experiment=nope"], ["experiment=nope: only a sweep"]),
        (["rows=original"], ["rows=original: only a sweep"]),
        (["sweep.retries=1"], ["sweep.retries=1: only a sweep"]),
        (["hydra/launcher=slurm"], ["hydra/launcher=slurm: only a sweep"]),
        (["hydra/sweeper=basic"], ["hydra/sweeper=basic: only a sweep"]),
        (["=1"], ["=1: has no key; write KEY=VALUE"]),
        (["hydra.launcher.wait=false"], ["hydra.launcher.wait=false: only a sweep"]),
        (["paths.results="], ["paths.results=: must not be empty"]),
        (["paths.results=/dev/null"], ["paths.results=/dev/null: is no folder"]),
        (["paths.results=/dev/null/below"], ["paths.results=/dev/null/below: cannot be used: Not a directory"]),
        ([f"paths.results={'x' * 5000}"], ["cannot be used: File name too long"]),
        (["paths.results='???'"], ["paths.results: must be given"]),
        (["paths.results='${HOME}/x'"], ["paths.results: Interpolation key 'HOME' not found; ", "${oc.env:HOME}"]),
        (["seed=${nope:1}"], ["seed: ${nope:…}: no such resolver; write the value itself"]),
        (["seed=${seed}"], ["seed: ${…} has no value (", "; write the value itself"]),
        (["seed=${oc.env:}"], ["; write the value itself"]),
        (["~nope"], ["~nope: no such key here; remove the override"]),
        (["+seed=3"], ["+seed: the key is there; write it without +"]),
        (["schedul.batch_size=3"], ["schedul: no such key here; did you mean schedule?"]),
        (
            ["data.root=x", "data.cache=y"],
            [
                "data.root=x: no such key here; allowed: data.normalisation, data.held_out",
                "data.cache=y: no such key here; allowed: data.normalisation, data.held_out",
            ],
        ),
        (["paths.results='${hydra.job.name}'"], ["Interpolation key 'hydra.job.name' not found; correct the key"]),
        (["network@foo=resnet110"], ["Could not override 'network@foo': @ names a place", "; write network=OPTION"]),
        (["paths.data=null"], ["paths.data=null: must be"]),
        (["network.widths={}"], ["network.widths={}: does not fit there; correct the key or the value"]),
        (["network.widths.a=0"], ["network.widths.a=0: does not fit there"]),
        (["network.widths=[]"], ["network.widths=[]: must not be empty"]),
        (["network.widths=[64,32,16]"], ["network.widths=[64, 32, 16]", "zero_pad only adds channels"]),
        (
            ["paths.results='~nobody-here/x'"],
            ["paths.results=~nobody-here/x: starts with the home"],
        ),
        (["frozen='~nobody-here/config.yaml'"], ["frozen=~nobody-here/config.yaml: starts with the home folder"]),
        (["data=cifar10", "data.root='~nobody-here'"], ["data.root=~nobody-here: starts with the home folder"]),
        (["network.expansion=100000"], ["network.expansion=100000: must be less than or equal to 16"]),
        (["network.depth=1000000007"], ["network.depth=1000000007: must be less"]),
        ([f"{'x' * 5000}=1"], ["too long"]),
        ([f"schedule.milestones={list(range(1, 20_001))}".replace(" ", "")], ["too long"]),
        (["schedule.iterations=100000000000000000000000000"], ["must be less than or equal to 1000000000"]),
        (["schedule.batch_size=999999999"], ["schedule.batch_size=999999999: must be less"]),
        (["schedule.learning_rate=1e308"], ["schedule.learning_rate=1e+308: must be from -1e+38 to 1e+38"]),
        (["schedule.weight_decay=1e308"], ["schedule.weight_decay=1e+308: must be from"]),
        (["shortcut=exclusive_gating", "shortcut.gate_bias=-1e39"], ["shortcut.gate_bias=-1e+39: must be from"]),
        (["shortcut=exclusive_gating", "shortcut.gate_bias_rate=1e39"], ["shortcut.gate_bias_rate=1e+39: must be"]),
        (["shortcut=constant_scaling", "shortcut.shortcut_scale=1e39"], ["shortcut.shortcut_scale=1e+39: must be"]),
        (["shortcut=scaled_residual", "shortcut.start=1e300"], ["shortcut.start=1e+300: must be from"]),
        ([f"schedule.milestones={list(range(1, 200))}".replace(" ", "")], ["must have at most 100 items, not 199"]),
        (
            ["paths.results=${oc.env:NOT_SET_X}"],
            ["paths.results: environment variable 'NOT_SET_X' not found; set it, or write the value"],
        ),
        (
            ["schedule.learning_rate=5e-324"],
            ["schedule.learning_rate=5e-324: becomes 0 after 2 milestones"],
        ),
        (["schedule.warmup_learning_rate=1e-40"], ["schedule.warmup_learning_rate=1e-40: is less than 1.2e-38"]),
        (["schedule.log_every=a\nb"], ["schedule.log_every=a\\nb: not a valid KEY=VALUE"]),
        ([f".seed={'x' * 9000}"], [" … (9,006 characters): not a valid KEY=VALUE"]),
        (["trainer.threads=100000"], ["trainer.threads=100000: must be less"]),
        (["seed=true"], ["seed=true: must be a number"]),
        (["schedule.milestones=[true]"], ["schedule.milestones.0=true: must be a number"]),
        (["network.stem.width=true"], ["network.stem.width=true: must be a number"]),
        (["data.root=/x"], ["data.root=/x: no such key here; allowed: data.normalisation, data.held_out"]),
        (["batch_size=64"], ["batch_size=64: no such key here; did you mean schedule.batch_size?"]),
        (["bn_batch=1", "network.widths=[16,32,64,64]", "network.depth=58"], ["bn_batch=1: the last stage has 1×1"]),
        (["logger=null"], ["logger=null: no such option"]),
        (["hydra.run=3"], ["hydra.run=3: does not fit there; correct the key or the value"]),
        (["hydra.nope=1"], ["hydra.nope: no such key here; correct it, or remove the override"]),
    ],
    ids=lambda value: value[0][:40],
)
def test_nonsense_is_refused_in_one_short_line(overrides: list[str], named: list[str]) -> None:
    messages = refused(*overrides)
    assert len(messages) == len(named) or all(name in messages[0] for name in named)
    assert all(any(name in message for message in messages) for name in named), messages
    assert all("\n" not in message and len(message) < 600 for message in messages)


def test_each_allowed_key_is_named_once() -> None:
    (message,) = refused("gate_bias=-6")
    allowed = message.partition("allowed: ")[2].split(", ")
    assert "seed" in allowed
    assert len(set(allowed)) == len(allowed)


def test_one_string_is_no_list_of_overrides() -> None:
    with pytest.raises(UserError, match="must be a list"):
        compose("network=resnet20")


def test_a_sweep_over_the_options_that_match_a_pattern() -> None:
    with pytest.raises(UserError, match=r"^network=glob\(\*\): glob\(\) is not supported; list the values: A,B$"):
        plan(["network=glob(*)"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("seed=1", "++seed=2"),
        ("sweep.retries=1", "sweep.retries=2"),
        ("hydra/launcher=joblib", "hydra/launcher=local"),
        ("hydra.launcher.wait=true", "hydra.launcher.wait=false"),
        ("hydra.job.name=a", "hydra.job.name=b"),
    ],
)
def test_a_command_line_sets_a_key_once(first: str, second: str) -> None:
    name = first.partition("=")[0]
    with pytest.raises(UserError, match=f"{name}: given more than once"):
        plan([first, second])
    assert compose(["seed=1", "seed=2"]).seed == 2


def test_a_configuration_can_be_pickled(config: Config) -> None:
    run = config("shortcut=exclusive_gating")
    assert pickle.loads(pickle.dumps(run)) == run


def test_compose_in_threads() -> None:
    """Hydra is one object for the process."""
    names = ["hydra.job.name=a", "hydra.job.name=b"]
    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(lambda i: compose([f"seed={i}", names[i % 2]]).seed, range(8)))
    assert keys == list(range(8))


def test_locations_stand_beside_a_frozen_configuration(tmp_path: Path) -> None:
    run = compose(["network=resnet20", f"paths.results={tmp_path}/results", "trainer=cpu"])
    run.folder.freeze(run.as_dict())
    beside = compose([f"frozen={run.folder.config}", "trainer.threads=3", "paths.results=elsewhere", "logger=csv"])
    assert beside.key == run.key
    assert (beside.trainer.threads, beside.trainer.accelerator, beside.paths.results) == (3, "cpu", "elsewhere")
    assert beside.logger.target != run.logger.target
    assert compose([f"frozen={run.folder.config}", "trainer=auto"]).trainer.accelerator == "auto"


def test_a_frozen_run_is_where_its_file_lies(tmp_path: Path) -> None:
    """The results folder may have been moved since."""
    run = compose([f"paths.results={tmp_path}/results"])
    run.folder.freeze(run.as_dict())
    (tmp_path / "results").rename(tmp_path / "moved")
    assert compose([f"frozen={tmp_path}/moved/runs/{run.key}/config.yaml"]).paths.results == str(tmp_path / "moved")


@pytest.mark.parametrize("data", ["digits", "cifar10", "generated"])
def test_a_published_configuration_has_todays_locations(data: str, tmp_path: Path) -> None:
    run = compose([f"data={data}"])
    file = tmp_path / "runs" / run.key / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(without_locations(run.as_dict())))
    assert compose([f"frozen={file}"]) == run


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"\x80\x81", b"data: 1", b"a: b: c", b"data: {}\npaths: 3"])
def test_any_other_file_is_no_frozen_configuration(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    messages = refused(f"frozen={file}")
    assert all("\n" not in message for message in messages)


def test_a_key_that_must_be_given_hides_no_other_mistake() -> None:
    messages = refused("data=imagenet", "seed=-1", "data.cache='???'", "schedule.momentum=3", "network.widht=3")
    assert [message.partition(":")[0] for message in messages] == [
        *("data.root", "data.cache", "network.widht=3", "schedule.momentum=3", "seed=-1")
    ]
    assert messages[:2] == (
        "data.root: must be given, as data.root=VALUE",
        "data.cache: must be given, as data.cache=VALUE",
    )


@pytest.mark.parametrize("with_unknown_key", [False, True])
def test_a_frozen_file_of_an_earlier_version(tmp_path: Path, with_unknown_key: bool) -> None:
    run = compose([f"paths.results={tmp_path}"])
    for version in range(1, NUMBERS):
        file = tmp_path / "runs" / run.key_under(version) / "config.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(run.as_dict() | ({"earlier": 1, "older": 2} if with_unknown_key else {})))
        reason = (
            "does not fit this version (earlier=1: no such key here, and 1 more)"
            if with_unknown_key
            else "an earlier version made this file"
        )
        assert refused(f"frozen={file}") == (
            f"frozen={file}: {reason}; its numbers cannot be trained again: start a new run",
        )
        messages = refused(f"frozen={file}", "trainer.threads=0")
        assert messages[-1].startswith("trainer.threads=0: must be")
        assert len(messages) == 1 + with_unknown_key


def test_every_published_run_is_composed_or_refused_in_a_line_that_says_why() -> None:
    """One run of each network and data set."""
    folders = sorted((ROOT / "results" / "reference" / "runs").glob("*-[dg][ie]*"))  # whose images are always there
    one_of_each = {(folder.name.split("-")[-3], folder.name.split("-")[0]): folder for folder in folders}
    outcomes = set()
    for folder in one_of_each.values():
        file = folder / "config.yaml"
        try:
            assert compose([f"frozen={file}"]).key == folder.name
            outcomes.add("composed")
        except UserError as error:
            (message,) = error.messages
            assert message.startswith(f"frozen={file}: ")
            assert message.endswith("; its numbers cannot be trained again: start a new run")
            outcomes.add("refused")
    assert "composed" in outcomes


def test_seeds_and_hydras_own_keys_beside_a_frozen_configuration(tmp_path: Path) -> None:
    run = compose([f"paths.results={tmp_path}"])
    run.folder.freeze(run.as_dict())
    frozen = f"frozen={run.folder.config}"
    for seeds in ("seed=1", "seed=1,2"):
        with pytest.raises(UserError, match="seed=1: the frozen configuration sets this key"):
            plan([frozen, seeds])
    (job,) = plan([frozen, "trainer=cpu"]).jobs
    assert job.config.key == run.key
    assert compose([frozen, "hydra.run.dir=x", "hydra.job.name=y"]).key == run.key
    assert refused(frozen, "hydra/launcher=slurm")[0].startswith("hydra/launcher=slurm: only a sweep has this key")


def test_bottlenecks_and_plain_networks_allow_such_widths() -> None:
    bottleneck = ["network=resnet164", "network.widths=[8,16,32]"]
    assert compose(bottleneck).network.widths == [8, 16, 32]
    assert compose(["network.widths=[64,32,16]", "shortcut=plain"]).network.widths == [64, 32, 16]


def test_a_frozen_file_may_be_named_with_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = compose([f"paths.results={tmp_path}/results"])
    run.folder.freeze(run.as_dict())
    (tmp_path / "results").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved" / "runs" / run.key)
    for file in (f"../{run.key}/config.yaml", "config.yaml"):
        assert compose([f"frozen={file}"]).paths.results == str(tmp_path / "moved")


def test_a_data_folder_beside_a_frozen_configuration_leaves_images_elsewhere(photos: Path, tmp_path: Path) -> None:
    images = ("data=imagenet", f"data.root={photos}", "data.classes=3", "data.crop=8", "network=imagenet_resnet18")
    run = compose([*images, f"paths.results={tmp_path}", f"paths.data={tmp_path}/here"])
    run.folder.freeze(run.as_dict())
    moved = compose([f"frozen={run.folder.config}", f"paths.data={tmp_path}/there"])
    source = cast(ImageNet, moved.data.source)
    assert (source.root, source.cache) == (photos, tmp_path / "there" / "cache")


def test_a_data_folder_beside_a_frozen_configuration_is_read(tmp_path: Path) -> None:
    run = compose(["data=cifar10", f"paths.results={tmp_path}", "paths.data=here"])
    run.folder.freeze(run.as_dict())
    frozen = f"frozen={run.folder.config}"
    assert compose([frozen, "paths.data=there"]).data.source.root == Path("there")  # type: ignore[attr-defined]
    assert compose([frozen, "data.root=there"]).data.source.root == Path("there")  # type: ignore[attr-defined]
    assert compose([frozen]).data.source.root == Path("here")  # type: ignore[attr-defined]
    own = compose(["data=cifar10", "data.root=mine", f"paths.results={tmp_path}/own", "paths.data=here"])
    own.folder.freeze(own.as_dict())
    frozen = f"frozen={own.folder.config}"
    assert compose([frozen, "paths.data=there"]).data.source.root == Path("mine")  # type: ignore[attr-defined]


def test_an_empty_list_of_values_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^schedule.iterations=range\(0\): has no value; list the values: A,B$"):
        choices_of(["schedule.iterations=range(0)"])


@pytest.mark.parametrize("line", ["~schedule.nesterov", "~schedule.nesterov=false", "seed=1"])
def test_the_values_of_a_key_make_its_override_again(line: str) -> None:
    ((key, (value,)),) = choices_of([line]).items()
    assert line_of(key, value) == line
