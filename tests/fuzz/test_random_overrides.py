"""Random overrides through `compose`: refused in lines, or exactly the configuration that was asked for."""

import json
import math
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from cases import LONG, SHORT, mistake_in, run_cases
from drawn_overrides import UNKNOWN, Asked, Setting, overrides, settings_of
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from resnet_ablations.build import build_network
from resnet_ablations.composition import group_options
from resnet_ablations.config import RunConfig, validate
from resnet_ablations.errors import UserError
from resnet_ablations.overrides import checked, compose, freeze
from resnet_ablations.paths import CONF, with_home
from resnet_ablations.training.run import train_run

SEEDS = {"short": range(200), "long": range(10_000, 20_000)}
COMBINED = {"short": range(8), "long": range(30_000, 31_000)}
TRAINED = {"short": range(3), "long": range(20_000, 20_150)}

# Not four channels: on an AMD EPYC, torch 2.14.1 damages its memory in the backward pass of 1×1 convolutions of four
# channels in channels-last order, and the process ends with "corrupted size vs. prev_size".
TINY = (
    *("network.depth=8", "network.widths=[8,8,16]", "network.stem.width=8"),
    *("schedule.iterations=2", "trainer=cpu", "trainer.threads=1"),
)
FIXED = (
    *("network", "data", "paths", "logger", "schedule.iterations", "schedule.batch_size", "bn_batch", "trainer"),
    "precision",
)
"""The keys that `TINY` sets, and those that would make a run slow."""

OPTIONS = {"short": 8, "long": 1_000}
"""Sets of options of groups: Hydra takes a third of a second for each."""

Keys = dict[str, str]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_random_overrides(length: str, tmp_path: Path) -> None:
    sets = option_sets(OPTIONS[length])
    settings_by_key: Keys = {}

    def case(draw: random.Random) -> str | None:
        options = draw.choice(sets)
        before = composed(options)
        asked = overrides(draw, settings(type(before)), list(group_options()), draw.choice((1, 1, 2, 3)))
        lines = [*options, *(one.line for one in asked)]
        try:
            run = compose(lines)
        except UserError as error:
            wrong = mistake_in(error)
        else:
            wrong = other_than_asked(run, before, asked) or inconsistent(run, settings_by_key, draw)
        return f"{lines}: {wrong}" if wrong else None

    run_cases(SEEDS[length], case)
    assert len(settings_by_key) > len(SEEDS[length]) / 10, "hardly anything was accepted"


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_random_combinations_of_options_are_as_hydra_composes_them(length: str) -> None:
    """`compose` puts a combination together from options that Hydra composes one at a time."""
    options, accepted = group_options(), []

    def case(draw: random.Random) -> str | None:
        groups = draw.sample(sorted(options), draw.randint(2, len(options)))
        lines = [f"{group}={draw.choice(options[group])}" for group in groups]
        keys = settings(type(composed(())))
        lines += [one.line for one in overrides(draw, keys, list(options), draw.choice((0, 0, 1, 2)))]
        draw.shuffle(lines)
        try:
            run = compose(lines)
        except UserError as error:
            return mistake_in(error)
        accepted.append(run.key)
        try:
            with initialize_config_dir(str(CONF), version_base="1.3"):
                expected = checked(hydra_compose("train", lines))
        except (HydraException, OmegaConfBaseException) as error:
            # In Python the last value of a key wins, and an unknown setting is the schema's matter.
            return None if "Multiple values" in str(error) else f"{lines}: refused by Hydra: {error}"
        return None if run.as_dict() == expected.as_dict() else f"{lines}: not as Hydra composes it"

    run_cases(COMBINED[length], case)
    assert accepted


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_random_runs_train_what_was_asked(length: str, tmp_path: Path) -> None:
    """No error but one that a user can mend, and the folder of a run has its configuration."""
    groups = group_options()
    parts = [f"{group}={option}" for group in ("shortcut", "activation") for option in groups[group]]

    def case(draw: random.Random) -> str | None:
        options = (*TINY, draw.choice(parts), f"paths.results={tmp_path}/results", f"seed={draw.randrange(9)}")
        drawn = [one for one in settings(type(composed(options))) if not one.key.startswith(FIXED)]
        lines = [*options, *(one.line for one in overrides(draw, drawn, ["network"], 2) if one.value is not UNKNOWN)]
        try:
            run = compose(lines)
        except UserError:
            run = composed(options)
        result = train_run(run)
        assert result is not None
        stored = yaml.safe_load(run.folder.config.read_text(encoding="utf-8"))
        if stored != run.as_dict() or result.key != run.key or result.iterations != 2:
            return f"{lines}: {result.key} is not {run.key}"
        return None

    run_cases(TRAINED[length], case)


@cache
def composed(options: tuple[str, ...]) -> RunConfig:
    return compose(list(options))


@cache
def settings(model: type[RunConfig]) -> list[Setting]:
    return list(settings_of(model))


def option_sets(count: int) -> list[tuple[str, ...]]:
    """Return the default and one set for each option of each group, at most `count` in all, that need no data."""
    sets: list[tuple[str, ...]] = [()]
    for group, options in group_options().items():
        sets += [(f"{group}={option}",) for option in options]
    sets = [one for one in sets if one not in (("data=image_folder",), ("data=imagenet",), ("trainer=ddp",))]
    random.Random(0).shuffle(sets)
    return [(), *sets][:count]


def leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{prefix}.{name}".lstrip("."))
    return found


def other_than_asked(run: RunConfig, before: RunConfig, asked: list[Asked]) -> str | None:
    """Return how the settings of a run differ from those that were asked for; None if they do not.

    The last override of a key counts. Settings that nobody named are those of the options alone.
    """
    last = {one.key: one for one in asked}
    if "paths.data" in last:
        last.setdefault("data.root", Asked("data.root", "", UNKNOWN))  # which interpolates it, as does the next
        last.setdefault("data.cache", Asked("data.cache", "", UNKNOWN))
    now, then = leaves(run.as_dict()), leaves(before.as_dict())
    for key in {*now, *then}:
        above = [one for name, one in last.items() if name and (key + ".").startswith(name + ".")]
        if not above and not same(now.get(key), then.get(key)) and not any(name.startswith(key) for name in last):
            return f"{key}: {then.get(key)!r} has become {now.get(key)!r}"
        if (
            key in last
            and len(above) == 1
            and last[key].value is not UNKNOWN
            and not same(now.get(key), last[key].value)
        ):
            return f"{key}: {last[key].value!r} was asked, and is {now.get(key)!r}"
    return None


def same(now: Any, asked: Any) -> bool:
    return bool(now == asked or (isinstance(asked, str) and isinstance(now, str) and now == with_home(asked)))


def inconsistent(run: RunConfig, settings_by_key: Keys, draw: random.Random) -> str | None:
    """Return what is wrong between a configuration, its key, its frozen file, its network and its schedule."""
    scientific = json.dumps({name: value for name, value in run.scientific.items() if name != "seed"}, sort_keys=True)
    if settings_by_key.setdefault(run.configuration, scientific) != scientific:
        return f"the same key as {settings_by_key[run.configuration]}"
    again = validate(json.loads(json.dumps(run.as_dict())), identify_data=False)
    if again.as_dict() != run.as_dict() or again.key != run.key:
        return "another configuration after as_dict and validate"
    if draw.random() < 0.2:
        run = run.model_copy(update={"paths": run.paths.model_copy(update={"results": "results"})})
        if compose(freeze(run)).model_copy(update={"paths": run.paths}).as_dict() != run.as_dict():
            return "another configuration after freeze and compose"
    rates = [run.schedule.learning_rate_at(at) for at in (0, *run.schedule.milestones, run.schedule.iterations)]
    if not all(0 < rate < math.inf and float(torch.tensor(rate)) > 0 for rate in rates):
        return f"learning rates {rates}"
    return no_network(run) if draw.random() < 0.02 and sum(run.network.stages) < 40 else None


def no_network(run: RunConfig) -> str | None:
    """Return why the network cannot be built or applied; None if it can. No number is computed."""
    with torch.device("meta"):
        network = build_network(run).eval()
        logits = network(torch.empty(2, *run.data.image))
    return None if logits.shape == (2, run.data.source.classes) else f"logits of shape {logits.shape}"
