"""Compose Hydra overrides into a checked configuration; errors report every mistake at once."""

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import unquote

from annotated_types import Ge
from hydra import compose as hydra_compose
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from resnet_ablations.composition import composition_of, options_of, own_hydra, parse, wrong_option
from resnet_ablations.config import NO_SUCH_KEY, RunConfig, frozen_tree, message_of, truth_values, unfit, validate
from resnet_ablations.errors import UserError, first_line, shortened
from resnet_ablations.paths import with_home
from resnet_ablations.results.keys import ELSEWHERE, LOCATIONS, NUMBERS, is_location
from resnet_ablations.settings import Settings

BESIDE_FROZEN = ", ".join([*sorted(ELSEWHERE), *(f"data.{name}" for name in sorted(LOCATIONS))])
SWEEP_KEYS = ("experiment", "scale", "rows", "columns", "sweep")
"""The keys of train.yaml that choose a sweep and are not part of a run."""
OF_SWEEPS = ("hydra.launcher", "hydra/launcher", "hydra.sweeper", "hydra/sweeper")
"""The beginnings of the keys of Hydra that only a sweep has."""


class SweepSettings(Settings):
    """`sweep` of train.yaml: whether a failed run stops the others, and how often a killed run is retried."""

    fail_fast: bool
    retries: Annotated[int, Ge(0)]


def compose(overrides: Sequence[str], *, sweep: Sequence[str] = ()) -> RunConfig:
    """Return the configuration of one run, resolved and checked.

    For example `compose(["network=resnet110", "shortcut=dropout"])`; the last override of a key wins. `sweep` are
    overrides of `SWEEP_KEYS` that name the sweep of the run for its logger. Raise `UserError` with every mistake:
    unknown options and keys, values out of range, missing data.
    """
    if isinstance(overrides, str):
        raise UserError(f"{overrides}: must be a list of overrides, such as ['network=resnet110', 'shortcut=dropout']")
    mistakes: list[str] = []
    valid = parse(sweep)
    wrong_groups = []
    parsed = parse(overrides)
    files = [override.value() for override in parsed if override.key_or_group == "frozen"]
    frozen = bool(files) and files[-1] is not None
    for override in parsed:
        key = override.key_or_group
        line = shortened(override.input_line)
        if key.partition(".")[0] in SWEEP_KEYS or key.startswith(OF_SWEEPS):
            mistakes.append(f"{line}: only a sweep has this key: resnet-ablations sweep, or add -m")
        elif frozen and key != "frozen" and not _stands_beside_frozen(override):
            mistakes.append(f"{line}: the frozen configuration sets this key; allowed beside it: {BESIDE_FROZEN}")
        elif override.is_sweep_override():
            mistakes.append(f"{line}: several values make a sweep: add -m")
        elif mistake := wrong_option(override):
            mistakes.append(mistake)
            wrong_groups.append(f"{key}.")
        # The settings of an option that does not exist cannot be checked.
        elif not key.startswith(tuple(wrong_groups)):
            valid.append(override)
    try:
        run = read_frozen(parsed) if frozen and not mistakes else checked(composition_of(valid))
    except (HydraException, OmegaConfBaseException) as error:
        mistakes.append(_reason(error))
    except UserError as error:
        mistakes += error.messages
    if mistakes:
        raise UserError(*mistakes)
    return run


def check_repeated(overrides: Sequence[str]) -> None:
    """Raise `UserError` for each key that a command line sets more than once."""
    counts = Counter(override.key_or_group for override in parse(overrides))
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise UserError(*(f"{shortened(name)}: given more than once; remove all but one" for name in repeated))


def choices_of(overrides: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each key of a multirun command line, as Hydra's sweeps read them.

    A deletion, `~KEY`, is a key with one empty value; `line_of` is the inverse. Raise `UserError` for values that
    cannot be listed.
    """
    choices: dict[str, list[str]] = {}
    for override in parse(overrides):
        key, _, value = (override.input_line or "").lstrip("+").partition("=")
        try:
            swept = override.is_sweep_override()
            choices[key] = list(override.sweep_string_iterator()) if swept else [value]
        except HydraException as error:
            reason = "glob() is not supported" if isinstance(override.value(), Glob) else first_line(error)
            raise UserError(f"{key}={value}: {reason}; list the values: A,B") from None
        if not choices[key]:
            raise UserError(f"{key}={value}: has no value; list the values: A,B")
    return choices


def line_of(key: str, value: str) -> str:
    """Return the override that gives a key of `choices_of` a value."""
    return key if key.startswith("~") and not value else f"{key}={value}"


def sweep_settings(overrides: Sequence[str]) -> SweepSettings:
    """Return the settings that overrides of `sweep` make; raise `UserError` with every mistake."""
    tree: Any = OmegaConf.to_container(composition_of(parse(overrides)).sweep)
    try:
        settings = SweepSettings.model_validate(tree)
        mistakes = truth_values(tree, settings.model_dump(), "sweep")
    except ValidationError as error:
        mistakes = [message_of(cast(dict[str, Any], e), "sweep.") for e in error.errors()]
    if mistakes:
        raise UserError(*_with_suggestions(mistakes, [f"sweep.{name}" for name in tree]))
    return settings


def checked(config: DictConfig) -> RunConfig:
    """Return the run of a composed configuration; raise `UserError` with every mistake."""
    tree: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    return _validated({name: value for name, value in tree.items() if name not in (*SWEEP_KEYS, "frozen", "hydra")})


def _validated(tree: dict[str, Any], *, identify_data: bool = True) -> RunConfig:
    """Return the run of a resolved configuration; raise `UserError` with every mistake, with suggestions."""
    mistakes = [f"{key}: must be given, as {key}=VALUE" for key, value in _leaves(tree) if value == "???"]
    try:
        run = validate(_given(tree), identify_data=identify_data and not mistakes)
    except UserError as error:
        mistakes = list(dict.fromkeys([*mistakes, *error.messages]))
    if mistakes:
        keys = [*tree, *(key for key, _ in _leaves(tree) if not key.endswith("_target_"))]
        raise UserError(*_with_suggestions(mistakes, keys))
    return run


def _given(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the settings that must be given and are not."""
    return {name: _given(value) if isinstance(value, dict) else value for name, value in tree.items() if value != "???"}


def freeze(run: RunConfig) -> list[str]:
    """Write the run's configuration to its folder; return the overrides that train the run from that file.

    The path is a URI, because Hydra cannot parse some paths. If the run's lock cannot be had, the file stays as it is:
    the run's own process waits for the lock or fails. Raise `UserError` if there is no file then.
    """
    try:
        run.folder.freeze(run.as_dict())
    except UserError:
        if not run.folder.config.exists():
            raise
    if not run.folder.config.exists():
        raise UserError(f"{run.key}: another process has begun the run and has not written its configuration yet")
    return [f"frozen='{run.folder.config.absolute().as_uri()}'"]


def _stands_beside_frozen(override: Override) -> bool:
    """Return whether an override sets no setting that a frozen configuration has."""
    return is_location(override.input_line or "") or override.key_or_group.startswith("hydra")


def read_frozen(overrides: Sequence[Override]) -> RunConfig:
    """Return the run of a frozen configuration, with the overrides that stand beside it: locations, and Hydra's own.

    conf/ may have changed since the run was frozen. A published file has no locations: they have today's defaults. The
    results folder is the one that the file lies in. Raise `UserError` if the run's key is not the name of its folder,
    or if an earlier version made the file: its numbers cannot be trained again.
    """
    locations = [override for override in overrides if is_location(override.input_line or "")]
    *_, place = (str(override.value()) for override in overrides if override.key_or_group == "frozen")
    try:
        uri = place.startswith("file://")
        path = Path(unquote(place.removeprefix("file://")) if uri else with_home(place))
        if "\0" in str(path):
            raise ValueError("a path has no null byte; name a file runs/KEY/config.yaml")
        frozen = frozen_tree(path)
    except ValueError as error:
        raise UserError(f"frozen={place}: {error}") from None
    except UserError as error:
        raise UserError(*(f"frozen={message}" for message in error.messages)) from None
    path = Path(os.path.normpath(path.absolute()))
    tree, name = _with_locations(frozen, locations), path.parent.name
    try:
        run = _validated(tree, identify_data=False)
    except UserError as error:
        raise UserError(*_mistakes_of_frozen(path, error.messages)) from None
    if name in (run.key_under(numbers) for numbers in range(1, NUMBERS)):
        raise UserError(f"frozen={path}: an earlier version made this file; {NOT_AGAIN}")
    run = _validated(tree)
    if run.key != name:
        raise UserError(
            f"frozen={path}: the file is the configuration of {run.key}, not of its folder; restore the file, or start "
            "a new run"
        )
    return run


NOT_AGAIN = "its numbers cannot be trained again: start a new run"


def _mistakes_of_frozen(path: Path, messages: Sequence[str]) -> list[str]:
    """Return the messages about locations, and one message for all others, which are not the user's mistakes."""
    others = [message for message in messages if not is_location(message.partition(":")[0])]
    own = [message for message in messages if message not in others]
    return [f"frozen={unfit(path, others, NOT_AGAIN)}", *own] if others else own


def _with_locations(frozen: dict[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
    """Return a frozen configuration with the locations that it lacks, and with those that `overrides` set."""
    if not overrides and frozen.keys() >= ELSEWHERE:
        return frozen
    options, target = [f"data={name}" for name in options_of("data")], frozen["data"].get("_target_")
    same = [line for line in options if composition_of(parse([line])).data._target_ == target]
    composed: Any = OmegaConf.to_container(composition_of([*parse(same[:1]), *overrides]), resolve=True)
    chosen = {override.key_or_group for override in overrides}
    tree = frozen | {group: composed[group] for group in ELSEWHERE if group not in frozen or group in chosen}
    locations = {name: composed["data"][name] for name in LOCATIONS if name in composed["data"]}
    tree["data"] = locations | frozen["data"]
    if chosen & {"paths", "paths.data"} and (before := frozen.get("paths", {}).get("data")):
        in_data_folder = [name for name in locations if Path(str(tree["data"][name])).is_relative_to(str(before))]
        tree["data"] |= {name: locations[name] for name in in_data_folder if locations[name] != "???"}
    for group, name, *_ in (key.split(".") for key in chosen if "." in key):
        tree[group] = tree[group] | {name: composed[group][name]}
    return tree


def check_options(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the launcher.

    Raise `UserError` for unknown options of Hydra's groups (`hydra/launcher=…`) and unknown settings of the launcher.
    """
    with own_hydra():
        parsed = parse([line for line in overrides if line.lstrip("+~").startswith("hydra/")])
        if mistakes := [mistake for override in parsed if (mistake := wrong_option(override))]:
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
                reason = f"does not fit the launcher ({first_line(error)})"
                raise UserError(f"{', '.join(launcher_settings)}: {reason}; {_allowed(allowed)}") from None
    settings: Any = OmegaConf.to_container(composed.hydra.launcher)
    return cast(dict[str, Any], settings)


def _allowed(names: Sequence[str]) -> str:
    return f"allowed: {', '.join(names)}" if names else "it has none"


def _reason(error: Exception) -> str:
    """Return the key and the first line of an error of Hydra or OmegaConf, with what to do where that is known."""
    key, advice = getattr(error, "full_key", None), _advice(shortened(first_line(error).replace("'++", "'")))
    return f"{key}: {advice}" if key else advice


def _advice(line: str) -> str:
    """Return an error's first line, or in its place what is wrong and what to do."""
    if group := re.match(r"Could not override '([^@']+)@", line):
        return f"{line.rstrip('.')}: @ names a place that conf/train.yaml does not have; write {group[1]}=OPTION"
    if variable := re.search(r"[Ee]nvironment variable '[^']+' not found", line):
        return f"{variable[0][0].lower()}{variable[0][1:]}; set it, or write the value"
    if unfit_override := re.match(r"Error merging override (.*)", line):
        return f"{unfit_override[1]}: does not fit there; correct the key or the value"
    if unknown := re.match(r"Could not override '([^']+)'", line):
        return f"{unknown[1]}: no such key here; correct it, or remove the override"
    if removed := re.match(r"Could not delete from config. '([^']+)' does not exist", line):
        return f"~{removed[1]}: no such key here; remove the override"
    if there := re.match(r"Could not append to config. An item is already at '([^']+)'", line):
        return f"+{there[1]}: the key is there; write it without +"
    if "Recursi" in line or "raised while resolving" in line:
        return f"${{…}} has no value ({line.rpartition('interpolation: ')[2]}); write the value itself"
    if resolver := re.match(r"Unsupported interpolation type (.*)", line):
        remedy = "write the value itself, or ${oc.env:NAME} for an environment variable"
        return f"${{{resolver[1]}:…}}: no such resolver; {remedy}"
    if name := re.match(r"Interpolation key '([\w.]+)' not found", line):
        remedy = "correct the key" if "." in name[1] else f"an environment variable is ${{oc.env:{name[1]}}}"
        return f"{line}; {remedy}"
    return line


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of each setting that is not a group."""
    if not isinstance(tree, dict):
        yield prefix.removesuffix("."), tree
        return
    for name, value in tree.items():
        yield from _leaves(value, f"{prefix}{name}.")


def _key_of(message: str) -> str:
    """Return the key that a message about an override begins with."""
    return re.split("[=:]", message, maxsplit=1)[0]


def _with_suggestions(messages: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Return the messages; those about unknown keys with the ones of `keys` that exist."""
    unknown = {_key_of(message) for message in messages if message.endswith(NO_SUCH_KEY)}
    known = [key for key in dict.fromkeys(keys) if key not in unknown]
    return [_with_suggestion(message, known) if _key_of(message) in unknown else message for message in messages]


def _with_suggestion(message: str, keys: Sequence[str]) -> str:
    """Return a message about an unknown key, with those of `keys` that are near it."""
    group, _, name = _key_of(message).rpartition(".")
    siblings = [key for key in keys if key.rpartition(".")[0] == group]
    same = [key for key in keys if key.rpartition(".")[2] == name]
    near = same or [
        f"{group}.{close}".lstrip(".")
        for close in difflib.get_close_matches(name, [key.rpartition(".")[2] for key in siblings], n=1)
    ]
    if near:
        return f"{message}; did you mean {' or '.join(near)}?"
    if not siblings:
        return f"{message}; {group} has no settings; remove the override, or choose another option with {group}=…"
    return f"{message}; allowed: {', '.join(siblings)}"
