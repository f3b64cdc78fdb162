"""Training speed against a plain PyTorch loop, as ratios: `make bench`.

The plain loop is what a tutorial writes: torchvision's CIFAR-10 with PIL transforms, a DataLoader with two workers
(eight on a GPU, with pinned memory and cuDNN's search for the fastest kernels), the network in torch's default memory
format, one optimizer step a batch. The other loop, "ours", is a run of `resnet_ablations`, through Lightning. Both
train the same network on the same images in the same number of threads. Repetitions are interleaved, so that a machine
whose speed drifts slows both; medians are compared. The most important measurements come first: the rest is left out
when the time is up.

The share of the peak counts three times the network's multiply-adds for each image, one forward and two backward, and
compares with the fastest of the networks' own 3×3 convolutions on this machine, forward, in the same precision.
"""

import argparse
import gc
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.loops import Repetition, Stopwatch, ours, plain, write_cifar10
from benchmarks.machine import convolution_peak, machine
from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.cores import usable_cores
from resnet_ablations.data.images import Images
from resnet_ablations.network.cost import multiply_adds
from resnet_ablations.overrides import compose
from resnet_ablations.results.provenance import now
from resnet_ablations.training.compute import emulates_bf16

BATCH, IMAGES = 128, 12_800
RESULTS = Path(__file__).parent / "results"
ITERATIONS = {
    "cpu": {"resnet20": 18, "resnet110": 5, "resnet164": 3},
    "gpu": {"resnet20": 40, "resnet110": 10, "resnet164": 7},
}
"""Timed iterations of a repetition."""
LOOPS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "ours": (),
    "ours, channels first": ("trainer.channels_last=false",),
    "ours, compiled": ("trainer.compile=default",),
    "ours, 2 passes of 64": ("bn_batch=64", "trainer.micro_batches_per_pass=1"),
    "ours, 2 × 64 in one pass": ("bn_batch=64", "trainer.micro_batches_per_pass=2"),
    "ours, 2 × 64 captured": ("bn_batch=64", "trainer.micro_batches_per_pass=2", "trainer.cuda_graph=true"),
    "ours, reduce-overhead": ("trainer.compile=reduce-overhead",),
}
"""The overrides of each loop; without `bn_batch`, batch normalisation is over all 128 images."""
BASE = ("plain", "32-true")
"""The loop and the precision with which all others of a group are compared."""
PASSES, ONE_PASS, CAPTURED = "ours, 2 passes of 64", "ours, 2 × 64 in one pass", "ours, 2 × 64 captured"


@dataclass(frozen=True)
class Group:
    """Measurements made together: loops and precisions of one network, or numbers of runs at once."""

    network: str
    cases: Sequence[tuple[str, str]]
    """Loops and their precisions; the plain loop in float32 is measured with all of them."""
    runs_at_once: Sequence[int] = ()
    seconds: float = 0.0
    """The shortest time that the group takes; the group is left out if less time is left."""


def groups(device: str) -> list[Group]:
    """Return the measurements, the most important first."""
    if device == "cpu":
        both = [(loop, precision) for precision in ("32-true", "bf16-mixed") for loop in ("plain", "ours")]
        first = [("ours, channels first", precision) for precision in ("32-true", "bf16-mixed")]
        compiled = [("ours, compiled", precision) for precision in ("32-true", "bf16-mixed")]
        return [
            Group("resnet20", both),
            Group("resnet110", both),
            Group("resnet20", first),
            Group("resnet20", compiled, seconds=90),
        ]
    precisions = ("bf16-mixed", "32-true", "tf32")
    loops = [(loop, precision) for precision in precisions for loop in ("plain", PASSES, ONE_PASS, CAPTURED)]
    compiled = [(loop, precision) for precision in precisions for loop in ("ours, reduce-overhead", "ours, compiled")]
    captured = [(CAPTURED, "bf16-mixed")]
    return [
        Group("resnet110", loops),
        Group("resnet20", loops),
        Group("resnet110", captured, (1, 2, 4)),
        Group("resnet164", loops),
        Group("resnet20", captured, (1, 2, 4)),
        Group("resnet20", compiled, seconds=90),
        Group("resnet110", [(ONE_PASS, "bf16-mixed")], (1, 2, 4)),
        Group("resnet110", compiled, seconds=240),
        Group("resnet164", compiled, seconds=360),
    ]


@dataclass
class Bench:
    """A benchmark: it measures groups until the time is up, and keeps the measurements in a JSON file."""

    device: str
    repetitions: int
    path: Path
    end: float
    report: dict[str, Any]
    images: Images
    folder: Path
    peaks: dict[str, float] = field(default_factory=dict)
    multiply_adds: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    """The number of measurements that ended in an error."""

    def measure(self, group: Group) -> None:
        """Measure a group of loops; print and write each measurement at once."""
        emulated = [case for case in group.cases if emulates_bf16(case[1], self.device)]
        cases = [case for case in group.cases if case not in emulated]
        for loop, precision in emulated:
            self._left_out(f"{group.network}: {loop} {precision}", "this CPU has no instructions for bf16")
        names = f"{group.network}: {', '.join(f'{loop} {precision}' for loop, precision in cases)}"
        if time.monotonic() + group.seconds > self.end:
            self._left_out(names, "no time left")
            return
        try:
            if group.runs_at_once:
                for case in cases:
                    self._measure_at_once(group.network, *case, group.runs_at_once)
            else:
                self._measure_loops(group.network, [BASE, *cases])
        except Exception as error:  # the other groups are still worth measuring
            self._failed(names, error)

    def _write(self) -> None:
        """Write the measurements so far."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.report | {"finished": now()}, indent=1, ensure_ascii=False) + "\n")

    def _measure_loops(self, network: str, cases: list[tuple[str, str]]) -> None:
        cases = list(dict.fromkeys(cases))
        measured: dict[tuple[str, str], list[Repetition]] = {case: [] for case in cases}
        failed: set[tuple[str, str]] = set()
        for repetition in range(self.repetitions):
            last = repetition == self.repetitions - 1 or time.monotonic() > self.end
            for case in cases:
                if case in failed:
                    continue
                try:
                    if not measured[case] or time.monotonic() < self.end:
                        profiled = last and self.device == "gpu"
                        measured[case].append(self._repetition(network, *case, profiled=profiled))
                except Exception as error:
                    failed.add(case)
                    self._failed(f"{network}: {' '.join(case)}", error)
                    if case == BASE:  # nothing is left to compare the others with
                        return
                    continue
                if last:
                    self._row(network, case, measured)
            if last:
                return

    def _repetition(self, network: str, loop: str, precision: str, *, profiled: bool) -> Repetition:
        stopwatch = Stopwatch(ITERATIONS[self.device][network], gpu=self.device == "gpu", profiled=profiled)
        config = self.config(network, loop, precision)
        if loop == "plain":
            plain(config, self.folder, stopwatch)
        else:
            ours(config, self.images, stopwatch)
        gc.collect()  # Lightning's objects hold each other, and the network
        return stopwatch.measured

    def config(self, network: str, loop: str, precision: str) -> RunConfig:
        """Return the configuration of a loop."""
        settings = ["data=cifar10", "data.root=.", "schedule=paper", f"trainer={self.device}", f"network={network}"]
        schedule = [f"schedule.{key}=10000" for key in ("iterations", "log_every", "evaluate_every")]
        schedule.append("schedule.milestones=[5000]")
        if not any(setting.startswith("bn_batch") for setting in LOOPS[loop]):
            settings.append(f"bn_batch={BATCH}")
        return compose([*settings, *schedule, f"precision={precision}", *LOOPS[loop]])

    def _row(self, network: str, case: tuple[str, str], measured: dict[tuple[str, str], list[Repetition]]) -> None:
        loop, precision = case
        speeds = {key: [BATCH / one.seconds for one in of_case] for key, of_case in measured.items() if of_case}
        speed = statistics.median(speeds[case])
        pairs = [own / base for own, base in zip(speeds[case], speeds[BASE], strict=False)]
        same = speeds.get(("plain", precision))
        launches, waits = measured[case][-1].launches, measured[case][-1].waits
        share = 3 * self._multiply_adds(network) * speed / self._peak(precision)
        row = {
            "network": network,
            "loop": loop,
            "precision": precision,
            "images_per_second": round(speed, 1),
            "milliseconds": round(1000 * BATCH / speed, 3),
            "of_plain_float32": round(speed / statistics.median(speeds[BASE]), 3),
            "of_plain_float32_pair_by_pair": [round(pair, 3) for pair in pairs],
            "of_plain_same_precision": None if same is None else round(speed / statistics.median(same), 3),
            "share_of_convolution_peak": round(share, 4),
            "launches": launches,
            "waits": waits,
            "repetitions": [round(each, 1) for each in speeds[case]],
        }
        self.report["loops"].append(row)
        self._write()
        calls = "" if launches is None else f"  {launches:6.0f} launches {waits:4.0f} waits"
        print(
            f"{network:10} {loop:26} {precision:10} {speed:9,.0f} images/s {1000 * BATCH / speed:9.2f} ms"
            f"  ×{row['of_plain_float32']:.2f} plain float32 ({min(pairs):.2f}–{max(pairs):.2f})"
            f"  {100 * share:5.1f} % of the peak{calls}",
            flush=True,
        )

    def _measure_at_once(self, network: str, loop: str, precision: str, counts: Sequence[int]) -> None:
        from resnet_ablations.sweep.packing import images_per_second

        torch.cuda.empty_cache()
        gpu = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0]
        config = self.config(network, loop, precision)
        alone = None
        for count in counts:
            if time.monotonic() > self.end:
                self._left_out(f"{network}: {loop} {precision}, {count} or more runs at once", "no time left")
                return
            try:
                speed = images_per_second(config, count, max(1, usable_cores() // count), gpu)
            except Exception as error:
                self._failed(f"{network}: {loop} {precision}, {count} or more runs at once", error)
                return
            alone = alone or speed
            self.report["runs_at_once"].append(
                {
                    "network": network,
                    "loop": loop,
                    "precision": precision,
                    "runs": count,
                    "images_per_second": round(speed, 1),
                    "of_one_run": round(speed / alone, 3),
                }
            )
            self._write()
            print(
                f"{network:10} {loop:26} {precision:10} {speed:9,.0f} images/s by {count} runs at once"
                f"  ×{speed / alone:.2f} one run",
                flush=True,
            )

    def _peak(self, precision: str) -> float:
        if precision not in self.peaks:
            peak = self.peaks[precision] = convolution_peak(self.device, precision, BATCH)
            self.report["convolution_peak"][precision] = round(peak)
            print(f"peak of a 3×3 convolution, {precision}: {peak / 1e9:,.0f} · 10⁹ multiply-adds/s", flush=True)
        return self.peaks[precision]

    def _multiply_adds(self, network: str) -> int:
        if network not in self.multiply_adds:
            config = self.config(network, "plain", "32-true")
            self.multiply_adds[network] = multiply_adds(build_network(config), config.data.image)
        return self.multiply_adds[network]

    def _failed(self, what: str, error: Exception) -> None:
        self.failures += 1
        self._left_out(what, f"{type(error).__name__}: {error}".splitlines()[0])

    def _left_out(self, what: str, why: str) -> None:
        self.report["left_out"].append({"what": what, "why": why})
        self._write()
        print(f"left out: {what}: {why}", flush=True)


def main() -> None:
    """Measure, print each line when it is measured, and write the JSON file. Exit with 1 if a measurement failed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--minutes", type=float, default=4.0, help="after so long, nothing more is begun")
    parser.add_argument("--repetitions", type=int, help="of each loop; by default 3, on a GPU 2")
    parser.add_argument("--networks", nargs="+", help="only these, such as resnet20")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results", help="folder of the JSON file"
    )
    parser.add_argument("--name", help="name of the JSON file; by default the machine's")
    options = parser.parse_args()
    if options.device == "gpu" and not torch.cuda.is_available():
        parser.error("--device gpu: there is no CUDA GPU here")
    begun = time.monotonic()
    threads = usable_cores()
    torch.set_num_threads(threads)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    images = Images(pixels, generator.integers(0, 10, IMAGES), pixels[:100], generator.integers(0, 10, 100))
    repetitions = options.repetitions or {"cpu": 3, "gpu": 2}[options.device]
    here = machine(options.device, threads)
    print(
        f"{here['name']}, {threads} threads, torch {torch.__version__}, batch {BATCH}, medians of {repetitions} "
        "interleaved repetitions",
        flush=True,
    )
    name = options.name or re.sub(r"[^a-z0-9]+", "-", here["name"].lower()).strip("-")
    report = here | {
        "batch": BATCH,
        "iterations": ITERATIONS[options.device],
        "convolution_peak": {},
        "loops": [],
        "runs_at_once": [],
        "left_out": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        write_cifar10(images, Path(folder))
        bench = Bench(
            options.device,
            repetitions,
            options.output / f"{name}.json",
            begun + 60 * options.minutes,
            report,
            images,
            Path(folder),
        )
        for group in groups(options.device):
            if options.networks is None or group.network in options.networks:
                bench.measure(group)
    print(f"{bench.path}, after {time.monotonic() - begun:.0f} s")
    if bench.failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
