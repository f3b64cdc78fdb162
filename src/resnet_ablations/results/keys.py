"""A run's key: a readable name and a hash of everything that can change its numbers."""

import hashlib
import json
import re
from typing import Any


def configuration_name(scientific: dict[str, Any]) -> str:
    """`NETWORK-SHORTCUT-DATA-HASH` of a scientific configuration, its seed left out: `resnet56-dropout-digits-1a2b3c4d`."""
    content = {name: value for name, value in scientific.items() if name != "seed"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:8]
    shortcut, data = (class_label(scientific[group]["_target_"]) for group in ("shortcut", "data"))
    return f"resnet{scientific['network']['depth']}-{shortcut}-{data}-{digest}"


def class_label(target: str) -> str:
    """The snake_case name of a `_target_`'s class: `shortcut_only_gating`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", target.rsplit(".", 1)[-1]).lower()
