"""A run's key: a readable name and a hash of everything that can change its numbers."""

import hashlib
import json
import re
from typing import Any, Final

ELSEWHERE = frozenset({"trainer", "paths", "logger"})
"""The groups that are not part of the key: devices, paths and loggers."""

NUMBERS: Final = 3
"""The version of the built-in rules: they decide a run's numbers, and no setting controls them, for example `streams`.

A change that moves the numbers of all runs adds 1.
Keys of version 1, whose random numbers came from NumPy's `Generator` and from torch, do not contain the version.
"""

LOCATIONS = frozenset({"root", "cache"})
"""The settings of `data` that are not part of the key: where the images are stored."""


def without_locations(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the settings that cannot change a number: devices, loggers and locations."""
    scientific = {group: value for group, value in config.items() if group not in ELSEWHERE}
    scientific["data"] = {name: value for name, value in config["data"].items() if name not in LOCATIONS}
    return scientific


def is_location(override: str) -> bool:
    """Return whether a Hydra override sets a key that `without_locations` leaves out."""
    group, _, name = override.partition("=")[0].lstrip("+").partition(".")
    return group in ELSEWHERE or (group == "data" and name in LOCATIONS)


def configuration_name(scientific: dict[str, Any], numbers: int = NUMBERS) -> str:
    """Return the name of a scientific configuration without its seed: NETWORK-SHORTCUT-PLACEMENT-DATA-HASH.

    A part without a label, such as the original placement, is left out: `resnet56-dropout-digits-1a2b3c4d`.

    The hash covers `numbers` and the names and values of all settings; a class is represented by its name. Settings
    that are null are left out, so a setting can be added later without changing a key, if null means "as before".
    """
    version = {"numbers": numbers} if numbers > 1 else {}
    content = version | _canonical({name: value for name, value in scientific.items() if name != "seed"})
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:8]
    parts = labels_of(scientific)
    return "-".join(part for part in (*parts.values(), digest) if part)


def labels_of(config: dict[str, Any]) -> dict[str, str | None]:
    """Return the parts of a configuration's name by group, in order; None for a placement without a label."""
    network = config["network"]
    return {
        "network": "-".join(part for part in (f"resnet{network['depth']}", network.get("label")) if part),
        "shortcut": class_label(config["shortcut"]["_target_"]),
        "activation": config["activation"].get("label"),
        "data": class_label(config["data"]["_target_"]),
    }


KEY: Final = re.compile(r"(?P<configuration>.+)-s(?P<seed>\d+)")
"""The key of a run, as `run_key` makes it."""


def run_key(configuration: str, seed: int) -> str:
    """Return the key of a run: the name of its configuration and its seed."""
    return f"{configuration}-s{seed}"


def _canonical(value: Any) -> Any:
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: class_label(item) if name == "_target_" else _canonical(item)
        for name, item in value.items()
        if item is not None
    }


def class_label(target: str) -> str:
    """Return the name of a `_target_`'s class in snake_case: `shortcut_only_gating`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", target.rsplit(".", 1)[-1]).lower()
