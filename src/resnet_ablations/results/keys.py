"""A run's key: a readable name and a hash of everything that can change its numbers."""

import hashlib
import json
import re
from typing import Any

ELSEWHERE = frozenset({"trainer", "paths", "logger"})
"""Groups that say where and on what a run is trained, and where else it is shown: no part of its key."""

LOCATIONS = frozenset({"root", "cache"})
"""Settings of `data` that say where the images lie, not what they are: no part of the key either."""


def without_locations(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what differs from machine to machine and cannot change a number."""
    scientific = {group: value for group, value in config.items() if group not in ELSEWHERE}
    scientific["data"] = {name: value for name, value in config["data"].items() if name not in LOCATIONS}
    return scientific


def is_location(override: str) -> bool:
    """Whether a Hydra override sets something that `without_locations` leaves out."""
    group, _, name = override.partition("=")[0].lstrip("+").partition(".")
    return group in ELSEWHERE or (group == "data" and name in LOCATIONS)


def configuration_name(scientific: dict[str, Any]) -> str:
    """NETWORK-SHORTCUT-PLACEMENT-DATA-HASH of a scientific configuration without its seed.

    One without a label, as the original placement, has no part in it: `resnet56-dropout-digits-1a2b3c4d`.

    The hash is of the names and values of all settings, a class standing by its name. A setting that is null is left
    out, so that one which is added later, null meaning "as before", changes no key.
    """
    content = _canonical({name: value for name, value in scientific.items() if name != "seed"})
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:8]
    parts = labels_of(scientific)
    return "-".join(part for part in (*parts.values(), digest) if part)


def labels_of(config: dict[str, Any]) -> dict[str, str | None]:
    """What a configuration is called, group by group, in the order of its name; None for the original placement."""
    network = config["network"]
    return {
        "network": "-".join(part for part in (f"resnet{network['depth']}", network.get("label")) if part),
        "shortcut": class_label(config["shortcut"]["_target_"]),
        "activation": config["activation"].get("label"),
        "data": class_label(config["data"]["_target_"]),
    }


def run_key(configuration: str, seed: int) -> str:
    """The name of a run: its configuration's and its seed."""
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
    """The snake_case name of a `_target_`'s class: `shortcut_only_gating`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", target.rsplit(".", 1)[-1]).lower()
