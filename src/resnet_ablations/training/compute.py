"""Settings of the computation: TF32, memory format, torch.compile, CUDA graphs, micro-batches of a pass.

They change how sums are rounded, and training amplifies that: docs/performance.md shows how far.
"""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final, Literal

import torch
from torch import Tensor, nn

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.output import tell_once
from resnet_ablations.settings import CompileMode

CUDA_GRAPHS: Final = ("reduce-overhead", "max-autotune")
"""The modes of torch.compile that replay kernels from CUDA graphs."""

BF16_EMULATED: Final = 10
"""The time of a step in emulated bf16 against float32: 12 for ResNet-20 with 64 images of 32 × 32 on an AMD EPYC."""


def check_compute(run: RunConfig, accelerator: str) -> None:
    """Raise `UserError` if the device does not support the TF32, torch.compile or CUDA graphs of the run.

    Print a line if the device trains much slower in the run's precision than in `32-true`.
    """
    gpu = accelerator == "gpu"
    if run.precision == "tf32" and not (gpu and torch.cuda.is_tf32_supported()):
        device = torch.cuda.get_device_name() if gpu else {"cpu": "the CPU", "mps": "an Apple GPU"}[accelerator]
        raise UserError(f"precision=tf32: {device} has no TF32; allowed here: 32-true, bf16-mixed")
    if emulates_bf16(run.precision, accelerator):
        tell_once(
            f"precision={run.precision}: this CPU has no instructions for bf16 and trains about {BF16_EMULATED} times "
            "slower with it than with precision=32-true"
        )
    mode = run.trainer.compile
    if mode in CUDA_GRAPHS and not gpu:
        raise UserError(f"trainer.compile={mode}: its CUDA graphs need a CUDA GPU; allowed elsewhere: null, default")
    if run.trainer.cuda_graph and not gpu:
        raise UserError("trainer.cuda_graph=true: a CUDA graph needs a CUDA GPU; allowed elsewhere: false")
    if mode is not None and (reason := _why_not_compiled("cuda" if gpu else accelerator)) is not None:
        raise UserError(f"trainer.compile={mode}: torch.compile does not work here: {reason}; allowed: null")


def emulates_bf16(precision: str, accelerator: str) -> bool:
    """Return whether the device has to emulate the precision: bf16 on an x86 CPU without AVX-512."""
    on_x86 = accelerator == "cpu" and platform.machine() in ("x86_64", "AMD64")
    return precision == "bf16-mixed" and on_x86 and "AVX512" not in torch.backends.cpu.get_cpu_capability()


@cache
def _why_not_compiled(device: str) -> str | None:
    """Return the first line of torch.compile's error for a trivial function, or None if the function compiles."""
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return None


@contextmanager
def raising_memory_error() -> Iterator[None]:
    """Raise `MemoryError` in place of torch's errors if memory cannot be allocated."""
    try:
        yield
    except RuntimeError as error:
        # The messages of torch.OutOfMemoryError and of the CPU allocator's RuntimeError both contain "allocate".
        if "allocate" not in str(error):
            raise
        raise MemoryError(str(error).splitlines()[0]) from error


def set_float32_precision(precision: str) -> Literal["32-true", "bf16-mixed"]:
    """Turn TF32 on or off for the process and return the precision that Lightning has to apply.

    The function uses torch's older switches, which also set the newer `fp32_precision`. Lightning and torch.compile
    still read the older switches, and reading them raises an error after a use of the newer ones.
    """
    tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    return "bf16-mixed" if precision == "bf16-mixed" else "32-true"


def in_memory_format(network: nn.Module, channels_last: bool) -> nn.Module:
    """Return the network with weights and activations in channels-last memory (N × H × W × C), or in N × C × H × W.

    The network's input is channels last in both cases.
    """
    if channels_last:
        return network.to(memory_format=torch.channels_last)
    # A convolution of channels-last images has a channels-last result; contiguous() would not copy one-channel images.
    first = torch.contiguous_format
    network.register_forward_pre_hook(
        lambda module, images: tuple(batch.clone(memory_format=first) for batch in images)
    )
    return network.to(memory_format=first)


def micro_batches_per_pass(setting: int | None, own: int, device: torch.device) -> int:
    """Return how many of a rank's `own` micro-batches one forward and backward pass takes.

    If `setting` is null, a GPU takes all, since it computes larger batches faster, and a CPU takes one, since the
    activations of one fit the caches better.
    """
    return setting or (1 if device.type == "cpu" else own)


def training_pass(network: nn.Module, mode: CompileMode | None) -> Callable[[Tensor], Tensor]:
    """Return the network's forward pass for training, compiled at its first call if `mode` is set.

    The network keeps its names and hooks. Evaluation is not compiled, because its batches have several sizes.
    """
    if mode is None:
        return network.__call__

    def forward(images: Tensor) -> Tensor:
        return network(images)

    threads = torch.get_num_threads()
    options = torch._inductor.list_mode_options(mode) | {
        # The threads of the run; with one thread, the compiler works in this process.
        "cpp.threads": threads,
        "compile_threads": threads,
    }
    torch.compiler.reset()  # code compiled for another network counts against the limit of recompilations
    return torch.compile(forward, fullgraph=True, dynamic=False, options=options)


def forget_gradients(optimizer: torch.optim.Optimizer, mode: CompileMode | None) -> None:
    """Drop the gradients before an iteration's first backward pass; if torch.compile uses CUDA graphs, zero them.

    A gradient that the replay of such a graph allocates is overwritten by the next replay.
    """
    if mode not in CUDA_GRAPHS:
        optimizer.zero_grad()
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
    optimizer.zero_grad(set_to_none=False)
