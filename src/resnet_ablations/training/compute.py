"""What a run computes with: TF32 or not, the order of images in memory, and torch's compiler.

None of it but the precision changes a result beyond rounding.
"""

from collections.abc import Callable
from functools import cache
from typing import Final, Literal

import torch
from torch import Tensor, nn

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.settings import CompileMode

CUDA_GRAPHS: Final = ("reduce-overhead", "max-autotune")
"""The modes of torch.compile that replay kernels from CUDA graphs."""


def check_compute(run: RunConfig, accelerator: str) -> None:
    """Raise `UserError` where the device has no TF32 that is asked for, or nothing can be compiled for it."""
    gpu = accelerator == "gpu"
    if run.precision == "tf32" and not (gpu and torch.cuda.is_tf32_supported()):
        device = torch.cuda.get_device_name() if gpu else "the CPU"
        raise UserError(f"precision=tf32: {device} has no TF32; allowed here: 32-true, bf16-mixed")
    mode = run.trainer.compile
    if mode in CUDA_GRAPHS and not gpu:
        raise UserError(f"trainer.compile={mode}: its CUDA graphs need a CUDA GPU; allowed on a CPU: null, default")
    if mode is not None and (reason := _why_not_compiled("cuda" if gpu else "cpu")) is not None:
        raise UserError(f"trainer.compile={mode}: torch.compile does not work here: {reason}; allowed: null")


@cache
def _why_not_compiled(device: str) -> str | None:
    """What torch.compile says to a function of one line, such as that there is no C++ compiler; None where it works."""
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return None


def set_float32_precision(precision: str) -> Literal["32-true", "bf16-mixed"]:
    """Let float32 mean float32 on every GPU, or TF32 where that is asked for; what is left for Lightning to do.

    By torch's older switches, which set the newer `fp32_precision` too: Lightning and torch's compiler still read the
    older ones, which raise an error once somebody has used the newer.
    """
    tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    return "bf16-mixed" if precision == "bf16-mixed" else "32-true"


def in_memory_format(network: nn.Module, channels_last: bool) -> nn.Module:
    """The network, its weights and all that it computes stored channels last (N × H × W × C), or else N × C × H × W.

    The images that it is called with are channels last.
    """
    if channels_last:
        return network.to(memory_format=torch.channels_last)
    # A convolution of images that are channels last is so as a whole; contiguous() leaves those of one channel alone.
    first = torch.contiguous_format
    network.register_forward_pre_hook(
        lambda module, images: tuple(batch.clone(memory_format=first) for batch in images)
    )
    return network.to(memory_format=first)


def training_pass(network: nn.Module, mode: CompileMode | None) -> Callable[[Tensor], Tensor]:
    """The network's forward pass in training, compiled where there is a mode, at the first call.

    The network itself stays as it is: its names, its hooks, and its evaluation, whose batches are of several sizes.
    """
    if mode is None:
        return network.__call__

    def forward(images: Tensor) -> Tensor:
        return network(images)

    threads = torch.get_num_threads()
    options = torch._inductor.list_mode_options(mode) | {
        # Its own generator would draw other masks of dropout than those of the run.
        "fallback_random": True,
        # As many as the run has; with one it compiles in this process.
        "cpp.threads": threads,
        "compile_threads": threads,
    }
    torch.compiler.reset()  # what was compiled for another network counts against the number of recompilations
    return torch.compile(forward, fullgraph=True, dynamic=False, options=options)


def forget_gradients(optimizer: torch.optim.Optimizer, mode: CompileMode | None) -> None:
    """Before a step's first backward pass; with CUDA graphs gradients are zeroed, where torch drops them otherwise.

    A gradient that a graph's replay allocates is overwritten by that of the next micro-batch.
    """
    if mode not in CUDA_GRAPHS:
        optimizer.zero_grad()
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
    optimizer.zero_grad(set_to_none=False)
