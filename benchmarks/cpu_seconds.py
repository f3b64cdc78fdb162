"""CPU seconds of a training step, its share of the convolution peak, and its parts: `python -m benchmarks.cpu_seconds`.

CPU seconds count only the time in which this process computes. On a machine that others use too they vary less than the
time does, but they vary. A step is one forward and backward pass and one update on random images, on one thread. The
share of the peak is three times the network's multiply-adds a CPU second, divided by those of the fastest of the
network's own 3×3 convolutions, forward. The parts are those of the forward and backward pass, by torch's profiler,
which counts time: measure them on a quiet machine. For bf16, the elements that a step converts between bf16 and float32
are counted. The environment is left as it is: to try an allocator, set it there (`MALLOC_TRIM_THRESHOLD_`). A step of
quick scale:

    python -m benchmarks.cpu_seconds --networks resnet56 --images 32 --overrides data=digits schedule=digits
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.network.cost import multiply_adds
from resnet_ablations.overrides import compose
from resnet_ablations.training.compute import emulates_bf16, in_memory_format, training_pass

PARTS = {
    "convolution": ("aten::mkldnn_convolution", "aten::convolution_backward"),
    "normalisation": ("aten::native_batch_norm", "aten::native_batch_norm_backward"),
    "ReLU": ("aten::clamp_min", "aten::clamp_min_", "aten::threshold_backward"),
    "addition": ("aten::add", "aten::add_"),
    "copies": ("aten::copy_",),
}
"""The parts of a forward and backward pass, with their operators. The rest is mostly the time to call operators."""


@dataclass(frozen=True)
class Pieces:
    """A training step in two pieces, with the network and what a step costs."""

    network: nn.Module
    images: Tensor
    gradients: Callable[[], object]
    update: Callable[[], object]
    multiply_adds: int
    """The multiply-adds of a forward pass of all images."""

    def step(self) -> None:
        """Train one step."""
        self.gradients()
        self.update()


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


def least(work: Callable[[], object], repetitions: int) -> float:
    """Return the fewest CPU seconds of `work`, after a first time that is not counted."""
    work()
    spent = []
    for _ in range(repetitions):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def shares(work: Callable[[], object], repetitions: int) -> dict[str, float]:
    """Return the share of each of `PARTS`, and of the rest, in the time of `work`."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(repetitions):
            work()
    times = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    parts = {part: sum(times.get(name, 0.0) for name in names) for part, names in PARTS.items()}
    total = sum(times.values())
    return {part: of_part / total for part, of_part in (parts | {"rest": total - sum(parts.values())}).items()}


def own_convolution_peak(pieces: Pieces, kind: torch.dtype) -> float:
    """Return the multiply-adds per CPU second of the fastest of the network's own 3×3 convolutions, forward."""
    rates: dict[tuple[torch.Size, tuple[int, ...]], float] = {}

    def timed(layer: nn.Conv2d, given: tuple[Tensor], result: Tensor) -> None:
        shape = given[0].shape, layer.stride
        if layer.kernel_size == (3, 3) and layer.in_channels == layer.out_channels and shape not in rates:
            batch, weights = given[0].to(kind), layer.weight.to(kind)
            seconds = least(lambda: F.conv2d(batch, weights, None, layer.stride, 1), 20)
            rates[shape] = 9 * layer.in_channels * result.numel() / seconds

    layers = [layer for layer in pieces.network.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(timed) for layer in layers]
    with torch.no_grad():
        pieces.network(pieces.images)
    for hook in hooks:
        hook.remove()
    return max(rates.values())


def pieces_of(config: RunConfig, count: int) -> Pieces:
    """Return the pieces of a training step on `count` images."""
    network = in_memory_format(build_network(config), config.trainer.channels_last)
    cost = multiply_adds(network, config.data.image)
    forward = training_pass(network, config.trainer.compile)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(count, *config.data.image).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (count,))

    def gradients() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            loss = F.cross_entropy(forward(images), labels)
        loss.backward()

    return Pieces(network, images, gradients, optimizer.step, count * cost)


def measure(pieces: Pieces, name: str, kind: torch.dtype, repetitions: int) -> None:
    """Print the CPU seconds of a step, its share of the peak, and its parts."""
    peak = own_convolution_peak(pieces, kind)
    seconds, of_update = least(pieces.step, repetitions), least(pieces.update, repetitions)
    share = 3 * pieces.multiply_adds / seconds / peak
    print(f"{name}: {seconds:.3f} CPU seconds, {100 * share:.0f} % of a peak of {peak / 1e9:.0f} · 10⁹ multiply-adds/s")
    parts = ", ".join(
        f"{part} {100 * of_part:.0f} %" for part, of_part in shares(pieces.gradients, repetitions).items()
    )
    print(f"{name}: forward and backward: {parts}; update {of_update:.4f} CPU seconds", flush=True)


def main() -> None:
    """Print what a step of each network costs in float32 and bf16."""
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
        for network in options.networks:
            own = ["trainer=cpu", f"network={network}", f"precision={precision}"]
            pieces = pieces_of(compose([*own, *options.overrides]), options.images)
            name = f"{network} {precision}"
            if emulates_bf16(precision, "cpu"):
                print(f"{name}: not timed, because this CPU emulates bf16", flush=True)
            else:
                measure(pieces, name, kind, options.repetitions)
            if kind == torch.bfloat16:
                with Conversions() as counted:  # type: ignore[no-untyped-call]
                    pieces.step()
                converted, convolved = (n / 1e6 for n in (counted.converted, counted.convolved))
                elements = f"{converted:.1f} million elements converted, {convolved:.1f} million of convolutions"
                print(f"{name}: {elements}", flush=True)


if __name__ == "__main__":
    main()
