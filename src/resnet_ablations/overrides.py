"""Compose Hydra overrides into a checked configuration; errors report every mistake at once."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import unquote

import yaml
from annotated_types import Ge
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from resnet_ablations.config import NO_SUCH_KEY, RunConfig, message_of, validate
from resnet_ablations.errors import UserError
from resnet_ablations.paths import ROOT
from resnet_ablations.settings import Settings

CONF = ROOT / "conf"
SWEEP_KEYS = ("experiment", "scale", "rows", "columns", "sweep")
"""The keys of train.yaml that choose a sweep and are not part of a run."""


class SweepSettings(Settings):
    """`sweep` of train.yaml: whether a failed run stops the others, and how often a killed run is retried."""

    fail_fast: bool
    retries: Annotated[int, Ge(0)]


def compose(overrides: Sequence[str]) -> RunConfig:
    """Return the configuration of one run, resolved and checked.

    For example `compose(["network=resnet110", "shortcut=dropout"])`. Raise `UserError` with every mistake: unknown
    options and keys, values out of range, missing data.
    """
    mistakes: list[str] = []
    valid = []
    wrong_groups = []
    for override in _parse(overrides):
        key = override.key_or_group
        if key == "frozen" and len(overrides) > 1:
            mistakes.append("frozen: the frozen configuration sets every key; remove the other overrides")
        elif override.is_sweep_override():
            mistakes.append(f"{override.input_line}: several values make a sweep: add -m")
        elif mistake := _wrong_option(override):
            mistakes.append(mistake)
            wrong_groups.append(f"{key}.")
        # The settings of an option that does not exist cannot be checked.
        elif not key.startswith(tuple(wrong_groups)):
            valid.append(override)
    try:
        run = checked(_composed(valid))
    except (HydraException, OmegaConfBaseException) as error:
        mistakes.append(_first_line(error))
    except UserError as error:
        mistakes += error.messages
    if mistakes:
        raise UserError(*mistakes)
    return run


def choices_of(overrides: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each key of a multirun command line, as Hydra's sweeps read them."""
    choices: dict[str, list[str]] = {}
    for override in _parse(overrides):
        key, _, value = (override.input_line or "").lstrip("+").partition("=")
        try:
            swept = override.is_sweep_override()
            choices[key] = list(override.sweep_string_iterator()) if swept else [value]
        except HydraException as error:
            raise UserError(f"{override.input_line}: {_first_line(error)}") from None
    return choices


def sweep_settings(overrides: Sequence[str]) -> SweepSettings:
    """Return the settings that overrides of `sweep` make; raise `UserError` with every mistake."""
    tree: Any = OmegaConf.to_container(_composed(_parse(overrides)).sweep)
    try:
        return SweepSettings.model_validate(tree)
    except ValidationError as error:
        mistakes = [message_of(cast(dict[str, Any], e), "sweep.") for e in error.errors()]
        keys = [f"sweep.{name}" for name in tree]
        raise UserError(*(_with_suggestion(message, keys) for message in mistakes)) from None


def checked(config: DictConfig) -> RunConfig:
    """Return the run of a composed configuration; raise `UserError` with every mistake.

    If `frozen` is set, read the run's frozen configuration: conf/ may have changed since.
    """
    if config.get("frozen") is not None:
        place = str(config.frozen)
        return thawed(Path(unquote(place.removeprefix("file://")) if place.startswith("file://") else place))
    tree: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    tree = {name: value for name, value in tree.items() if name not in (*SWEEP_KEYS, "frozen", "hydra")}
    try:
        return validate(tree)
    except UserError as error:
        keys = list(_keys(tree))
        raise UserError(*(_with_suggestion(message, keys) for message in error.messages)) from None


def freeze(run: RunConfig) -> list[str]:
    """Write the run's configuration to its folder; return the overrides that train the run from that file.

    The path is a URI, because Hydra cannot parse some paths.
    """
    run.folder.freeze(run.as_dict())
    return [f"frozen='{run.folder.config.absolute().as_uri()}'"]


def thawed(path: Path) -> RunConfig:
    """Return the run of a frozen configuration; raise `UserError` if its key is not the name of its folder."""
    try:
        run = validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"frozen={path}: cannot be read: {_first_line(error)}") from None
    if run.key != path.parent.name:
        raise UserError(
            f"frozen={path}: the file is the configuration of {run.key}, not of its folder; "
            f"use the file in runs/{run.key}"
        )
    return run


@cache
def _config_loader() -> ConfigLoader:
    """Return Hydra's reader of the files in conf/."""
    with _own_hydra():
        return GlobalHydra.instance().config_loader()


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Set up Hydra with conf/, also inside `hydra.main`; restore the earlier Hydra afterwards."""
    hydra = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = hydra


def _composed(overrides: Sequence[Override]) -> DictConfig:
    """Return the configuration that Hydra composes from the overrides."""
    lines = [_forced(override) for override in overrides]
    groups = tuple(override.input_line or "" for override in overrides if _is_group(override))
    values = [override for override, line in zip(overrides, lines, strict=True) if line.startswith("++")]
    if len(groups) + len(values) == len(overrides):
        config = deepcopy(_composed_groups(groups, _conf_times()))
        try:
            for override in values:  # as Hydra does: values after groups
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
            return config
        except OmegaConfBaseException:
            pass  # Hydra's message names the override
    with _own_hydra():
        return hydra_compose("train", lines)


@cache
def _composed_groups(groups: tuple[str, ...], conf_times: tuple[float, ...]) -> DictConfig:
    """Return the configuration with these groups and no other override.

    Cached, since Hydra takes a tenth of a second; `conf_times` makes a new entry when a file in conf/ changes.
    """
    with _own_hydra():
        return hydra_compose("train", list(groups))


def _conf_times() -> tuple[float, ...]:
    """Return the modification time of each file in conf/."""
    return tuple(path.stat().st_mtime for path in sorted(CONF.rglob("*.yaml")))


@cache
def _parsed(override: str) -> Override:
    return OverridesParser.create(_config_loader()).parse_override(override)


def _parse(overrides: Sequence[str]) -> list[Override]:
    """Parse the overrides with Hydra's parser; raise `UserError` with every one that it rejects."""
    parsed, mistakes = [], []
    for override in overrides:
        try:
            parsed.append(_parsed(override))
        except HydraException as error:
            reason = _first_line(error).partition(" expecting ")[0]
            mistakes.append(f"{override}: not a valid KEY=VALUE for Hydra ({reason}); quote it: KEY='VALUE'")
    if mistakes:
        raise UserError(*mistakes)
    return parsed


def check_options(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the launcher.

    Raise `UserError` for unknown options of Hydra's groups (`hydra/launcher=…`) and unknown settings of the launcher.
    """
    with _own_hydra():
        parsed = _parse([line for line in overrides if line.lstrip("+~").startswith("hydra/")])
        if mistakes := [mistake for override in parsed if (mistake := _wrong_option(override))]:
            raise UserError(*mistakes)
        groups = [override.input_line or "" for override in parsed]
        composed = hydra_compose("train", groups, return_hydra_config=True)
        launcher = composed.hydra.launcher
        allowed = [str(key) for key in launcher if not str(key).startswith("_")]
        launcher_settings = [line for line in overrides if line.startswith("hydra.launcher.")]
        names = {line: line.partition("=")[0].split(".")[2] for line in launcher_settings}
        if wrong := [line for line, name in names.items() if name not in allowed]:
            raise UserError(*(f"{line}: this launcher has no such setting; {_allowed(allowed)}" for line in wrong))
        if launcher_settings:
            try:
                composed = hydra_compose("train", [*groups, *launcher_settings], return_hydra_config=True)
            except (HydraException, OmegaConfBaseException) as error:
                raise UserError(_first_line(error)) from None
    settings: Any = OmegaConf.to_container(composed.hydra.launcher)
    return cast(dict[str, Any], settings)


def group_options() -> dict[str, list[str]]:
    """Return the options of each group in conf/, except Hydra's own groups."""
    groups = _config_loader().get_group_options("", ObjectType.GROUP)
    return {group: _options(group) for group in groups if group != "hydra" and _options(group)}


def _allowed(names: Sequence[str]) -> str:
    return f"allowed: {', '.join(names)}" if names else "it has none"


def _is_group(override: Override) -> bool:
    return bool(_options(override.key_or_group))


@cache
def _options(group: str) -> list[str]:
    options = _config_loader().get_group_options(group, ObjectType.CONFIG)
    return [option for option in options if not option.startswith("_")]


def _wrong_option(override: Override) -> str | None:
    """Return an error message if the override chooses an option that its group does not have."""
    options = _options(override.key_or_group)
    if not options or override.value() in options or override.is_delete():
        return None
    return f"{override.key_or_group}={override.value()}: no such option; allowed: {', '.join(options)}"


def _forced(override: Override) -> str:
    """Return the override with `++`, so that Hydra accepts unknown keys and the schema reports all of them."""
    line = override.input_line or ""
    plain_value = override.type is not None and not _is_group(override) and line[0] not in "+~"
    return f"++{line}" if plain_value and not line.startswith("hydra.") else line


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _keys(tree: Any, prefix: str = "") -> Any:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield f"{prefix}{name}"
            yield from _keys(value, f"{prefix}{name}.")


def _with_suggestion(message: str, keys: list[str]) -> str:
    """Return the message; for an unknown key, with the keys that exist."""
    key = message.partition("=")[0]
    if not message.endswith(NO_SUCH_KEY):
        return message
    group = key.rpartition(".")[0]
    siblings = [k for k in keys if k.rpartition(".")[0] == group and k != key and not k.endswith("_target_")]
    near = difflib.get_close_matches(key, siblings, n=1)
    if not siblings:
        return f"{message}; {group} has no settings; remove the override, or choose another option with {group}=…"
    return f"{message}; " + (f"did you mean {near[0]}?" if near else f"allowed: {', '.join(siblings)}")
