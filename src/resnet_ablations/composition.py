"""Hydra as this package uses it: parse overrides, refuse those that would not do what they say, compose conf/."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any, Final, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from resnet_ablations.errors import UserError, first_line, shortened
from resnet_ablations.paths import CONF, folder_named, mistaken_checkout

OmegaConf.register_new_resolver("folder", folder_named, replace=True)

LONGEST, LONGEST_KEY = 10_000, 200
"""The most characters of an override and of its key: Hydra's parser is slow, and Hydra looks for a file of a key."""
ONE_CONF: Final = "the configuration is conf/ alone; give KEY=VALUE, or add a file to conf/"
_ENVIRONMENT: Final = "the processes of runs have the environment of this command; write NAME=VALUE before it"
REFUSED_KEYS: Final = {
    "hydra.mode": "no setting; -m, or resnet-ablations sweep, makes a sweep",
    "hydra.searchpath": ONE_CONF,
    "hydra.job.env_set": _ENVIRONMENT,
    "hydra.job.env_copy": _ENVIRONMENT,
}
"""The settings of Hydra that are refused, in Python and on the command line, and why."""
_RESOLVER: Final = re.compile(r"\$\{\s*(hydra|now)\s*:")
"""The resolvers of Hydra whose values are not those of the run's key: they depend on the process or on the time."""


def refusal(line: str) -> str | None:
    """Return why an override is refused before Hydra reads it; None if it is not."""
    key = line.lstrip("+~").partition("=")[0].strip()
    if not key:
        return f"{shortened(line)}: has no key; write KEY=VALUE"
    if key == "data.fingerprint":
        return f"{key}: no setting; each run records it"
    for refused, reason in REFUSED_KEYS.items():
        if f"{key}.".startswith(f"{refused}."):
            return f"{shortened(key)}: {reason}"
        if refused.startswith(f"{key}."):
            return f"{key}: sets {refused} and others at once; give one setting at a time, as {key}.KEY=VALUE"
    if match := _RESOLVER.search(line):
        return (
            f"{shortened(line)}: runs are checked and keyed without Hydra's own values, such as ${{{match[1]}:…}}; "
            "write the value itself (the current folder: ${oc.env:PWD})"
        )
    return None


_HYDRA = threading.RLock()
"""Held while Hydra is set up with conf/, because Hydra is one object for the whole process."""


@cache
def _config_loader() -> ConfigLoader:
    """Return Hydra's reader of the files in conf/."""
    with own_hydra():
        return GlobalHydra.instance().config_loader()


@contextmanager
def own_hydra() -> Iterator[None]:
    """Set up Hydra with conf/, also inside `hydra.main`; restore the earlier Hydra afterwards.

    Raise `UserError` if conf/ is another checkout's.
    """
    if mistake := mistaken_checkout():
        raise UserError(mistake)
    with _HYDRA:
        hydra = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(CONF), version_base="1.3"):
                yield
        finally:
            GlobalHydra.instance().hydra = hydra


def composition_of(overrides: Sequence[Override]) -> DictConfig:
    """Return the configuration that Hydra composes from the overrides."""
    lines = [forced(override) for override in overrides]
    groups = tuple(override.input_line or "" for override in overrides if is_group(override))
    values = [override for override, line in zip(overrides, lines, strict=True) if line.startswith("++")]
    if len(groups) + len(values) == len(overrides):
        config = deepcopy(_composed_groups(groups, _conf_times()))
        for override in values:  # as Hydra does: values after groups
            try:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
            except Exception:  # OmegaConf raises many kinds for a key or a value that does not fit
                line = shortened((override.input_line or "").lstrip("+"))
                raise UserError(f"{line}: does not fit there; correct the key or the value") from None
        return config
    with own_hydra():
        return hydra_compose("train", lines)


@cache
def _composed_groups(groups: tuple[str, ...], conf_times: tuple[float, ...]) -> DictConfig:
    """Return the configuration with these groups and no other override.

    Cached; `conf_times` makes a new entry when a file in conf/ changes. Hydra takes a tenth of a second, so it composes
    each group alone, and a combination of groups is made of them.
    """
    alone = [_group_alone(line, conf_times) for line in groups] if len(groups) > 1 else []
    if not alone or None in alone:
        return _composed_by_hydra(groups, conf_times)
    config = _composed_by_hydra((), conf_times).copy()
    for name, settings in filter(None, alone):
        config[name] = settings
    return config


@cache
def _group_alone(line: str, conf_times: tuple[float, ...]) -> tuple[str, DictConfig] | None:
    """Return the name and the settings of the group that an override chooses; None if it also changes other keys."""
    name = line.partition("=")[0]
    try:
        chosen = _composed_by_hydra((line,), conf_times)
    except HydraException:
        return None
    before, after = (
        cast(dict[str, Any], OmegaConf.to_container(config)) for config in (_composed_by_hydra((), conf_times), chosen)
    )
    same = before.keys() == after.keys() and all(before[key] == after[key] for key in before if key != name)
    return (name, chosen[name]) if same and name in after else None


@cache
def _composed_by_hydra(groups: tuple[str, ...], conf_times: tuple[float, ...]) -> DictConfig:
    with own_hydra():
        return hydra_compose("train", list(groups))


def _conf_times() -> tuple[float, ...]:
    """Return the modification time of each file in conf/."""
    return tuple(path.stat().st_mtime for path in sorted(CONF.rglob("*.yaml")))


@cache
def _parsed(override: str) -> Override:
    return OverridesParser.create(_config_loader()).parse_override(override)


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse the overrides with Hydra's parser; raise `UserError` with every one that it rejects."""
    parsed, mistakes = [], []
    for override in overrides:
        if len(override) > LONGEST or len(override.partition("=")[0]) > LONGEST_KEY:
            mistakes.append(f"{shortened(override)}: too long; at most {LONGEST:,} characters, the key {LONGEST_KEY}")
            continue
        if reason := refusal(override):
            mistakes.append(reason)
            continue
        try:
            parsed.append(one := _parsed(override))
            if one.package is not None and not is_group(one):
                mistakes.append(f"{shortened(override)}: @ is for groups, and {one.key_or_group} is none; remove it")
        except (HydraException, ValueError) as error:  # Python reads no integer of more than 4,300 digits
            reason = first_line(error).partition(" expecting ")[0].partition(";")[0]
            mistakes.append(
                f"{shortened(override)}: not a valid KEY=VALUE for Hydra ({shortened(reason)}); "
                "quote the value for Hydra and the whole for the shell: \"KEY='VALUE'\""
            )
    if mistakes:
        raise UserError(*mistakes)
    return parsed


def is_group(override: Override) -> bool:
    """Return whether the override chooses an option of a group."""
    return bool(options_of(override.key_or_group))


@cache
def options_of(group: str) -> list[str]:
    """Return the options of a group in conf/; none if there is no such group."""
    options = _config_loader().get_group_options(group, ObjectType.CONFIG)
    return [option for option in options if not option.startswith("_")]


def wrong_option(override: Override) -> str | None:
    """Return an error message if the override chooses an option that its group does not have."""
    options = options_of(override.key_or_group)
    if not options or override.value() in options or override.is_delete():
        return None
    value = shortened(override.value())
    return f"{override.key_or_group}={value}: no such option; allowed: {', '.join(options)}"


def forced(override: Override) -> str:
    """Return the override with `++`, so that Hydra accepts unknown keys and the schema reports all of them."""
    line = override.input_line or ""
    plain_value = override.type is not None and not is_group(override) and line[0] not in "+~"
    return f"++{line}" if plain_value and not line.startswith("hydra.") else line


def group_options() -> dict[str, list[str]]:
    """Return the options of each group in conf/, except Hydra's own groups."""
    groups = _config_loader().get_group_options("", ObjectType.GROUP)
    return {group: options_of(group) for group in groups if group != "hydra" and options_of(group)}
