"""The training of one run, from its configuration to its results folder."""

import os

# Lightning reads these variables as numbers as soon as it is imported; without WORLD_SIZE, they are another program's.
for _name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
    if not os.environ.get(_name, "0").strip().isdecimal():
        del os.environ[_name]
