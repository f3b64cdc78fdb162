"""From Hydra overrides to a checked configuration, with every mistake named at once."""

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

from resnet_ablations.config import NO_SUCH_KEY, RunConfig, Settings, message_of, validate
from resnet_ablations.errors import UserError
from resnet_ablations.paths import ROOT

CONF = ROOT / "conf"
SWEEP_KEYS = ("experiment", "scale", "rows", "columns", "sweep")
"""Keys of train.yaml that choose a sweep and are no part of a run."""


class SweepSettings(Settings):
    """`sweep` of train.yaml: what happens to the other runs when one fails, and how often a killed run is retried."""

    fail_fast: bool
    retries: Annotated[int, Ge(0)]


def compose(overrides: Sequence[str]) -> RunConfig:
    """The configuration of one run, resolved and checked: `compose(["network=resnet110", "shortcut=dropout"])`.

    Raise `UserError` with all that is wrong in it: unknown options and keys, values out of range, missing data.
    """
    mistakes: list[str] = []
    usable = []
    wrong_groups = []
    for override in _parse(overrides):
        key = override.key_or_group
        if key == "frozen" and len(overrides) > 1:
            mistakes.append("frozen: it says everything; no other setting beside it")
        elif override.is_sweep_override():
            mistakes.append(f"{override.input_line}: several values are a sweep: add -m")
        elif mistake := _wrong_option(override):
            mistakes.append(mistake)
            wrong_groups.append(f"{key}.")
        # What belongs to an option that does not exist cannot be judged.
        elif not key.startswith(tuple(wrong_groups)):
            usable.append(override)
    try:
        run = checked(_composed(usable))
    except (HydraException, OmegaConfBaseException) as error:
        mistakes.append(_first_line(error))
    except UserError as error:
        mistakes += error.messages
    if mistakes:
        raise UserError(*mistakes)
    return run


def choices_of(overrides: Sequence[str]) -> dict[str, list[str]]:
    """The values of each key of a multirun command line, as Hydra's sweeps read them."""
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
    """What overrides of `sweep` come to; raise `UserError` with every mistake in them."""
    tree: Any = OmegaConf.to_container(_composed(_parse(overrides)).sweep)
    try:
        return SweepSettings.model_validate(tree)
    except ValidationError as error:
        mistakes = [message_of(cast(dict[str, Any], e), "sweep.") for e in error.errors()]
        keys = [f"sweep.{name}" for name in tree]
        raise UserError(*(_with_suggestion(message, keys) for message in mistakes)) from None


def checked(config: DictConfig) -> RunConfig:
    """The run that a composed configuration is; raise `UserError` with every mistake in it.

    A frozen one is read from its file, and composing it anew, perhaps from other files by now, changes nothing.
    """
    if config.get("frozen") is not None:
        return thawed(Path(_path_of(config.frozen)))
    tree: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    tree = {name: value for name, value in tree.items() if name not in (*SWEEP_KEYS, "frozen", "hydra")}
    try:
        return validate(tree)
    except UserError as error:
        keys = list(_keys(tree))
        raise UserError(*(_with_suggestion(message, keys) for message in error.messages)) from None


def frozen(run: RunConfig) -> list[str]:
    """The overrides that make a run of the frozen configuration in its folder; as a URI any path is plain to Hydra."""
    return [f"frozen='{run.folder.config.absolute().as_uri()}'"]


def _path_of(place: str) -> str:
    """A path, given as such or as a URI."""
    return unquote(place.removeprefix("file://")) if place.startswith("file://") else place


def thawed(path: Path) -> RunConfig:
    """The run whose frozen configuration this is; raise `UserError` if it is not the one of its folder."""
    try:
        run = validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"frozen={path}: cannot be read: {_first_line(error)}") from None
    if run.key != path.parent.name:
        raise UserError(f"frozen={path}: it is the configuration of {run.key}, not that of its folder")
    return run


@cache
def _config_loader() -> ConfigLoader:
    """Return Hydra's reader of the files in conf/."""
    with _own_hydra():
        return GlobalHydra.instance().config_loader()


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Set up Hydra with conf/, also inside a function of `hydra.main`, whose Hydra is there again afterwards."""
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
            for override in values:  # in the same way as Hydra, which takes them after the groups
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
            return config
        except OmegaConfBaseException:
            pass  # Hydra's message names the override
    with _own_hydra():
        return hydra_compose("train", lines)


@cache
def _composed_groups(groups: tuple[str, ...], conf_times: tuple[float, ...]) -> DictConfig:
    """Return the configuration with these groups and no other override.

    Cached, since Hydra takes a tenth of a second; `conf_times` is there for the files in conf/ that change meanwhile.
    """
    with _own_hydra():
        return hydra_compose("train", list(groups))


def _conf_times() -> tuple[float, ...]:
    """Return when each file in conf/ was last written."""
    return tuple(path.stat().st_mtime for path in sorted(CONF.rglob("*.yaml")))


@cache
def _parsed(override: str) -> Override:
    return OverridesParser.create(_config_loader()).parse_override(override)


def _parse(overrides: Sequence[str]) -> list[Override]:
    """Hydra's reading of the overrides; raise `UserError` for those that it cannot read."""
    parsed, mistakes = [], []
    for override in overrides:
        try:
            parsed.append(_parsed(override))
        except HydraException as error:
            reason = _first_line(error).partition(" expecting ")[0]
            mistakes.append(f"{override}: not KEY=VALUE as Hydra reads it ({reason}); quote special signs: KEY='VALUE'")
    if mistakes:
        raise UserError(*mistakes)
    return parsed


def check_options(overrides: Sequence[str]) -> dict[str, Any]:
    """The settings of the launcher.

    Raise `UserError` for options of `hydra/launcher` and the like, and settings of a launcher, that do not exist.
    """
    with _own_hydra():
        parsed = _parse([line for line in overrides if line.lstrip("+~").startswith("hydra/")])
        if mistakes := [mistake for override in parsed if (mistake := _wrong_option(override))]:
            raise UserError(*mistakes)
        groups = [override.input_line or "" for override in parsed]
        launcher = hydra_compose("train", groups, return_hydra_config=True).hydra.launcher
        allowed = [str(key) for key in launcher if not str(key).startswith("_")]
        given = [line for line in overrides if line.startswith("hydra.launcher.")]
        names = {line: line.partition("=")[0].split(".")[2] for line in given}
        if wrong := [line for line, name in names.items() if name not in allowed]:
            raise UserError(*(f"{line}: this launcher has no such setting; {_allowed(allowed)}" for line in wrong))
        try:
            composed = hydra_compose("train", [*groups, *given], return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(_first_line(error)) from None
    settings: Any = OmegaConf.to_container(composed.hydra.launcher)
    return cast(dict[str, Any], settings)


def _allowed(names: Sequence[str]) -> str:
    return f"allowed: {', '.join(names)}" if names else "it has none"


def _is_group(override: Override) -> bool:
    return bool(_options(override.key_or_group))


@cache
def _options(group: str) -> list[str]:
    options = _config_loader().get_group_options(group, ObjectType.CONFIG)
    return [option for option in options if not option.startswith("_")]


def _wrong_option(override: Override) -> str | None:
    """`shortcut=identiy: no such option; allowed: …`, for a group whose option does not exist."""
    options = _options(override.key_or_group)
    if not options or override.value() in options or override.is_delete():
        return None
    return f"{override.key_or_group}={override.value()}: no such option; allowed: {', '.join(options)}"


def _forced(override: Override) -> str:
    """The override, made to be accepted even for an unknown key, so that the schema can name all of them at once."""
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
    """A message on an unknown key, with what may stand in its place."""
    key = message.partition("=")[0]
    if not message.endswith(NO_SUCH_KEY):
        return message
    group = key.rpartition(".")[0]
    siblings = [k for k in keys if k.rpartition(".")[0] == group and k != key and not k.endswith("_target_")]
    near = difflib.get_close_matches(key, siblings, n=1)
    if not siblings:
        return f"{message}; {group} has no settings; choose another one with {group}=…"
    return f"{message}; " + (f"did you mean {near[0]}?" if near else f"allowed: {', '.join(siblings)}")
