"""Print how far the gates of ResNet-110 are open at the start, by unit, as a table for docs/interpretations.md.

    python scripts/gates_at_start.py data=cifar10

The arguments are Hydra overrides. The images are the run's first 128 training images.
"""

import math
import sys
from itertools import product
from statistics import fmean

import resnet_ablations as ra
from resnet_ablations.probe.gates import openings
from resnet_ablations.training.data_module import load_batches

UNITS = (1, 4, 9, 18, 20, 27, 36, 38, 45, 54)
"""The units to print; 19 and 37 change dimensions and have no gate."""
GATES = [
    f"shortcut={shortcut} shortcut.gate_weights={weights}"
    for shortcut, weights in product(("exclusive_gating", "shortcut_only_gating"), ("he", "zero"))
]


def main() -> None:
    """Print one row a unit: mean g and the share of g above one half, both in %, in one column a gate."""
    columns = []
    for gate in GATES:
        run = ra.compose(["network=resnet110", "schedule=paper", *gate.split(), *sys.argv[1:]])
        images, _ = load_batches(run).train(0)
        columns.append({opening.unit: opening for opening in openings(ra.build_network(run).train(), images)})
    print("| unit |" + "".join(f" `{gate}` |" for gate in GATES))
    print("|---|" + "---:|" * len(GATES))
    for unit in UNITS:
        _print_row(str(unit), [f"{100 * column[unit].mean:.2f} / {100 * column[unit].open:.2f}" for column in columns])
    means, shares = ([[getattr(g, name) for g in column.values()] for column in columns] for name in ("mean", "open"))
    _print_row("mean", [f"{100 * fmean(m):.2f} / {100 * fmean(s):.2f}" for m, s in zip(means, shares, strict=True)])
    _print_row("∏ (1 − mean g)", [f"{math.prod(1 - mean for mean in column):.2f}" for column in means])


def _print_row(label: str, cells: list[str]) -> None:
    print(f"| {label} |" + "".join(f" {cell} |" for cell in cells))


if __name__ == "__main__":
    main()
