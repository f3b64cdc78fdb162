"""CPU seconds of a training step, and its share of the convolution peak: `python -m benchmarks.cpu_seconds`.

CPU seconds count only the time in which this process computes, so they can be measured on a machine that others use
too. A step is one forward and backward pass and one update on 64 random images, on one thread. The share of the peak
compares three times the network's multiply-adds with the fastest of the networks' own 3×3 convolutions, forward, also
in CPU seconds. The environment is left as it is: to try an allocator, set it there (`MALLOC_TRIM_THRESHOLD_`).
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks.machine import SHAPES
from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.network.cost import multiply_adds
from resnet_ablations.overrides import compose
from resnet_ablations.training.compute import in_memory_format, training_pass

IMAGES = 64


def least(work: Callable[[], object], repetitions: int) -> float:
    """Return the fewest CPU seconds of `work`, after a first time that is not counted."""
    work()
    spent = []
    for _ in range(repetitions):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def convolution_peak(kind: torch.dtype) -> float:
    """Return the multiply-adds per CPU second of the fastest 3×3 convolution of the networks."""
    rates = []
    for channels, height in SHAPES:
        batch, weights = (
            torch.randn(*shape).to(kind, memory_format=torch.channels_last)
            for shape in ((IMAGES, channels, height, height), (channels, channels, 3, 3))
        )
        with torch.no_grad():
            seconds = least(lambda batch=batch, weights=weights: F.conv2d(batch, weights, padding=1), 20)  # type: ignore[misc]
        rates.append(IMAGES * channels**2 * 9 * height**2 / seconds)
    return max(rates)


def step_of(config: RunConfig) -> tuple[Callable[[], object], int]:
    """Return a training step, and the network's multiply-adds for one image."""
    network = in_memory_format(build_network(config), config.trainer.channels_last)
    cost = multiply_adds(network, config.data.image)
    forward = training_pass(network, config.trainer.compile)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(IMAGES, *config.data.image).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (IMAGES,))

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            loss = F.cross_entropy(forward(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step, cost


def main() -> None:
    """Print one line for each network and precision."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_seconds", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet110"])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--overrides", nargs="*", default=[], help="of each run, such as trainer.compile=default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    for precision, kind in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
        peak = convolution_peak(kind)
        print(f"{precision}: peak {peak / 1e9:.0f} · 10⁹ multiply-adds a CPU second", flush=True)
        for network in options.networks:
            own = ["data=cifar10", "data.root=.", "schedule=paper", "trainer=cpu", f"network={network}"]
            step, cost = step_of(compose([*own, f"precision={precision}", *options.overrides]))
            seconds = least(step, options.repetitions)
            share = 3 * cost * IMAGES / seconds / peak
            print(f"{network:10} {precision:10} {seconds:.3f} CPU seconds, {100 * share:.1f} % of the peak", flush=True)


if __name__ == "__main__":
    main()
