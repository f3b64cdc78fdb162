"""How far runs come apart that differ in rounding only: `python -m benchmarks.rounding`.

Each network trains on the digits with the schedule of quick scale, for each seed once by the default settings and once
by each other way to compute. The default settings here are float32, channels last, eager, one thread. The table shows
the relative difference of the training loss after 1, 3 and 10 updates, and the difference of the test error at the last
iteration, each from the default run of the same seed: the median and the largest over the seeds. The row "another
seed" shows how far apart two seeds are. The row "again" repeats the default run: it has to be exact.
"""

import argparse
import json
import re
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.machine import machine
from resnet_ablations.overrides import compose
from resnet_ablations.results.provenance import now
from resnet_ablations.training.compute import emulates_bf16
from resnet_ablations.training.run import train_run

UPDATES = (1, 3, 10)
WAYS: dict[str, tuple[str, ...]] = {
    "again": (),
    "two threads": ("trainer.threads=2",),
    "channels first": ("trainer.channels_last=false",),
    "bf16": ("precision=bf16-mixed",),
    "another seed": (),
    "compiled": ("trainer.compile=default",),
}
"""The overrides of each way to compute."""
OTHER_SEEDS = 100
"""The row "another seed" compares seed s with seed s + 100."""


def trained(network: str, seed: int, iterations: int, overrides: Sequence[str], results: Path) -> dict[str, Any]:
    """Train a run and return its losses after each of `UPDATES`, its final test error and its weights' digest."""
    own = [f"network={network}", f"seed={seed}", "data=digits", "schedule=digits", f"paths.results={results}"]
    often = [f"schedule.iterations={iterations}", "schedule.log_every=1", f"schedule.evaluate_every={iterations}"]
    threads = [] if "trainer.threads=2" in overrides else ["trainer.threads=1"]
    config = compose([*own, *often, "trainer=cpu", "logger=none", *threads, *overrides])
    result = train_run(config)
    assert result is not None
    losses = pd.read_csv(config.folder.curve)["train_loss"]
    return {
        "losses": [float(losses[updates]) for updates in UPDATES],  # row n is before update n
        "test_error": result.test_error,
        "weights": result.weights,
    }


def compared(runs: Sequence[dict[str, Any]], defaults: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the differences of runs from the default runs of the same seeds."""
    pairs = list(zip(runs, defaults, strict=True))
    losses = [
        [abs(own - base) / base for own, base in zip(run["losses"], default["losses"], strict=True)]
        for run, default in pairs
    ]
    return {
        "exact": all(run["weights"] == default["weights"] for run, default in pairs),
        "loss": {updates: [each[place] for each in losses] for place, updates in enumerate(UPDATES)},
        "test_error": [abs(run["test_error"] - default["test_error"]) for run, default in pairs],
    }


def line(network: str, way: str, found: dict[str, Any]) -> str:
    """Return one row of the Markdown table."""
    if found["exact"]:
        return f"| {network} | {way} |" + " 0 |" * len(UPDATES) + " 0, the same weights bit for bit |"
    losses = " | ".join(_typical(found["loss"][updates], _share) for updates in UPDATES)
    return f"| {network} | {way} | {losses} | {_typical(found['test_error'], '{:.1f}'.format)} |"


def _share(value: float) -> str:
    """Return a relative difference; a curve has six digits, so that smaller ones are not seen."""
    return f"{value:.0e}" if value > 1e-6 else "< 1e-06"


def _typical(values: Sequence[float], text: Callable[[float], str]) -> str:
    if len(values) == 1:
        return text(values[0])
    return f"{text(statistics.median(values))} ({text(max(values))})"


def main() -> None:
    """Train, print each row when it is measured, and write the rows and a JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounding", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet56", "resnet110"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, default=2, help="how many seeds (default 2)")
    parser.add_argument("--iterations", type=int, default=270, help="iterations of each run (default 270)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="folder of the files")
    options = parser.parse_args()
    here = machine("cpu", 1)
    name = "rounding-" + re.sub(r"[^a-z0-9]+", "-", here["name"].lower()).strip("-")
    options.output.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = here | {"iterations": options.iterations, "seeds": options.seeds}
    lines: list[str] = []

    def tell(text: str) -> None:
        print(text, flush=True)
        lines.append(text)
        (options.output / f"{name}.txt").write_text("\n".join(lines) + "\n")
        report["finished"] = now()
        (options.output / f"{name}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")

    tell(f"{here['name']}, torch {torch.__version__}, {options.seeds} seeds: median (largest)\n")
    after = " | ".join(f"loss, {updates}" for updates in UPDATES)
    tell(f"| network | against the default | {after} | test error, {options.iterations} |\n|---|---|" + "---:|" * 4)
    rows: dict[str, dict[str, Any]] = {network: {} for network in options.networks}
    report["networks"] = rows
    for way in ["default", *options.ways]:
        if way == "bf16" and emulates_bf16("bf16-mixed", "cpu"):
            print(f"left out: {way}: this CPU has no instructions for bf16", flush=True)
            continue
        for network in options.networks:
            first = OTHER_SEEDS if way == "another seed" else 0
            with tempfile.TemporaryDirectory() as folder:
                runs = [
                    trained(network, seed, options.iterations, WAYS.get(way, ()), Path(folder))
                    for seed in range(first, first + options.seeds)
                ]
            rows[network][way] = {"runs": runs}
            if way != "default":
                found = compared(runs, rows[network]["default"]["runs"])
                rows[network][way] |= found
                tell(line(network, way, found))


if __name__ == "__main__":
    main()
