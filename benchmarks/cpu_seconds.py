"""CPU seconds of a training step, and its share of the convolution peak: `python -m benchmarks.cpu_seconds`.

CPU seconds count only the time in which this process computes, so they can be measured on a machine that others use
too. A step is one forward and backward pass and one update on random images, on one thread. The share of the peak
compares three times the network's multiply-adds with the fastest of the networks' own 3×3 convolutions, forward, also
in CPU seconds. Two more lines tell where the time goes: the share of each kind of layer, by torch's profiler, and the
elements that a step in bf16 converts between bf16 and float32. The environment is left as it is: to try an allocator,
set it there (`MALLOC_TRIM_THRESHOLD_`). A step of quick scale:

    python -m benchmarks.cpu_seconds --networks resnet56 --images 32 --overrides data=digits schedule=digits
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.machine import SHAPES
from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.network.cost import multiply_adds
from resnet_ablations.overrides import compose
from resnet_ablations.training.compute import emulates_bf16, in_memory_format, training_pass

KINDS = {
    "convolution": ("convolution",),
    "normalisation": ("batch_norm",),
    "ReLU": ("threshold", "clamp_min"),
    "addition": ("aten::add",),
}
"""The kinds of layers, each with words of its operators' names."""


def least(work: Callable[[], object], repetitions: int) -> float:
    """Return the fewest CPU seconds of `work`, after a first time that is not counted."""
    work()
    spent = []
    for _ in range(repetitions):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


class Conversions(TorchDispatchMode):
    """Counts the elements of tensors that are converted to another type, and those of the convolutions' results."""

    converted = convolved = 0

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = operator(*args, **(kwargs or {}))
        if operator is torch.ops.aten._to_copy.default and result.dtype != args[0].dtype:
            self.converted += result.numel()
        if operator is torch.ops.aten.convolution.default:
            self.convolved += result.numel()
        return result


def shares(step: Callable[[], object]) -> dict[str, float]:
    """Return the share of a step's time for each of `KINDS`."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    times = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    of_kind = {
        kind: sum(time for name, time in times.items() if name.startswith("aten::") and any(w in name for w in words))
        for kind, words in KINDS.items()
    }
    return {kind: time / sum(times.values()) for kind, time in of_kind.items()}


def convolution_peak(kind: torch.dtype, images: int) -> float:
    """Return the multiply-adds per CPU second of the fastest 3×3 convolution of the networks."""
    rates = []
    for channels, height in SHAPES:
        batch, weights = (
            torch.randn(*shape).to(kind, memory_format=torch.channels_last)
            for shape in ((images, channels, height, height), (channels, channels, 3, 3))
        )
        with torch.no_grad():
            seconds = least(lambda batch=batch, weights=weights: F.conv2d(batch, weights, padding=1), 20)  # type: ignore[misc]
        rates.append(images * channels**2 * 9 * height**2 / seconds)
    return max(rates)


def step_of(config: RunConfig, count: int) -> tuple[Callable[[], object], int]:
    """Return a training step on `count` images, and the network's multiply-adds for one image."""
    network = in_memory_format(build_network(config), config.trainer.channels_last)
    cost = multiply_adds(network, config.data.image)
    forward = training_pass(network, config.trainer.compile)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(count, *config.data.image).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (count,))

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            loss = F.cross_entropy(forward(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step, cost


def main() -> None:
    """Print three lines for each network and precision."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_seconds", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet110"])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--images", type=int, default=64, help="of a step (default 64)")
    parser.add_argument(
        "--overrides",
        nargs="*",
        default=["data=cifar10", "schedule=paper"],
        help="by default data=cifar10 schedule=paper",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    for precision, kind in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
        emulated = emulates_bf16(precision, "cpu")
        peak = None if emulated else convolution_peak(kind, options.images)
        told = "emulated here, not timed" if peak is None else f"peak {peak / 1e9:.0f} · 10⁹ multiply-adds a CPU second"
        print(f"{precision}: {told}", flush=True)
        for network in options.networks:
            own = ["trainer=cpu", f"network={network}", f"precision={precision}"]
            step, cost = step_of(compose([*own, *options.overrides]), options.images)
            if peak is not None:
                seconds = least(step, options.repetitions)
                share = 3 * cost * options.images / seconds / peak
                print(f"{network}: {seconds:.3f} CPU seconds, {100 * share:.1f} % of the peak")
                print(f"{network}: " + ", ".join(f"{kind} {100 * part:.0f} %" for kind, part in shares(step).items()))
            if kind == torch.bfloat16:
                with Conversions() as counted:
                    step()
                converted, convolved = (n / 1e6 for n in (counted.converted, counted.convolved))
                print(f"{network}: {converted:.1f} million elements converted, {convolved:.1f} million of convolutions")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
