"""A training step that is recorded once as CUDA graphs and replayed: one launch in place of thousands of kernels."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, final

import torch
from torch import Tensor

from resnet_ablations.training.step import Step

WARM_UP: Final = 3
"""The iterations before the recording.

In them, libraries choose kernels and allocate memory, which is not allowed while a graph is recorded.
"""


class Recorder(ABC):
    """Records the kernels of a function that has no arguments and no result."""

    @abstractmethod
    def run(self, work: Callable[[], object]) -> None:
        """Run the work without recording it, where a recording would run, for example on its stream."""

    @abstractmethod
    def record(self, work: Callable[[], object]) -> Callable[[], None]:
        """Record the work, without doing it, and return a function that does it."""


@final
class CudaGraphs(Recorder):
    """Recorder of CUDA graphs of one device."""

    def __init__(self, device: torch.device) -> None:
        # Autograd runs a parameter's gradient on the stream of its first use, which must not be the default stream.
        self._stream = torch.cuda.Stream(device)
        self._memory = torch.cuda.graph_pool_handle()

    def run(self, work: Callable[[], object]) -> None:
        default = torch.cuda.current_stream()
        self._stream.wait_stream(default)
        with torch.cuda.stream(self._stream):
            work()
        default.wait_stream(self._stream)

    def record(self, work: Callable[[], object]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as the one that pins the memory of decoded images, may call CUDA during the recording.
        with torch.cuda.graph(graph, pool=self._memory, stream=self._stream, capture_error_mode="thread_local"):
            work()
        return graph.replay


@final
class CapturedStep:
    """A `Step` and its optimizer's update, recorded after `WARM_UP` iterations and replayed from then on.

    The replay runs the kernels of the eager step on the same memory, so every number is the same to the last bit. The
    update is recorded again at each learning rate, since a kernel's arguments are part of a graph. The numbers of
    dropout masks are copied between the passes, outside the graphs, into the memory that a replay reads.
    """

    def __init__(self, step: Step, optimizer: torch.optim.Optimizer, recorder: Recorder) -> None:
        self._step = step
        self._recorder = recorder
        self._inputs: list[tuple[Tensor, Tensor]] = []
        """The images and labels of each pass: graphs read the same memory at every replay."""
        self._passes: list[Callable[[], None]] = []
        self._iterations = 0
        self._optimizer = optimizer
        self._eager_update = optimizer.step
        self._replay_update: Callable[[], None] | None = None
        self._learning_rate = 0.0
        optimizer.step = self._update  # type: ignore[method-assign]

    def add_gradients(self, number: int, images: Tensor, labels: Tensor) -> None:
        """Do what `Step.add_gradients` does."""
        self._iterations += number == 0
        if self._iterations <= WARM_UP:
            self._recorder.run(lambda: self._step.add_gradients(number, images, labels))
            return
        if number == len(self._passes):
            inputs = images.clone(), labels.clone()
            self._inputs.append(inputs)
            self._passes.append(self._recorder.record(lambda: self._step.add_gradients(number, *inputs)))
        else:
            for recorded, new in zip(self._inputs[number], (images, labels), strict=True):
                recorded.copy_(new)
        self._passes[number]()

    def _update(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do what the optimizer's `step` does."""
        result = None if closure is None else closure()
        if self._iterations <= WARM_UP:
            self._recorder.run(self._eager_update)
            return result
        learning_rate = self._optimizer.param_groups[0]["lr"]
        if self._replay_update is None or learning_rate != self._learning_rate:
            self._replay_update = None  # frees the memory of the graph before the next is recorded
            self._replay_update = self._recorder.record(self._eager_update)
            self._learning_rate = learning_rate
        self._replay_update()
        return result
