"""The captured step, with a recorder in the place of CUDA graphs: what is recorded and when, and that nothing is drawn.

The recorder's replay does the recorded work again. It refuses what a graph cannot do: read a random generator's state,
set a seed, look at a number, or take inputs from other memory than at the recording.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from observing import numbers
from signalled import stopped_at
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_ablations.config import RunConfig
from resnet_ablations.errors import UserError
from resnet_ablations.training import drawn_masks, module
from resnet_ablations.training.captured import WARM_UP, CapturedStep, Recorder
from resnet_ablations.training.run import train_run
from resnet_ablations.training.step import Step

Config = Callable[..., RunConfig]

WAITS = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal")
DRAWS = ("rand", "bernoulli", "dropout", "normal", "random")


class Watch(TorchDispatchMode):
    """Fails where an operator makes the host wait for the device, and notes the operators that draw."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        assert name not in WAITS, f"{name}: a graph cannot wait"
        self.drawn += [name] if any(word in name for word in DRAWS) else []
        return func(*args, **(kwargs or {}))


class Replaying(Recorder):
    """Recorder whose replay does the work again. Its `log` lists the calls."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.drawn: list[str] = []
        self.iteration = 0

    def run(self, work: Callable[[], object]) -> None:
        self.log.append("run")
        work()

    def record(self, work: Callable[[], object]) -> Callable[[], None]:
        """Nothing is done at a recording; a recording of CUDA kernels does nothing either."""
        self.log.append("record")

        def replay() -> None:
            self.log.append("replay")
            with no_seeds(), Watch() as watch:
                work()
            self.drawn += watch.drawn

        return replay


@contextmanager
def no_seeds() -> Iterator[None]:
    def refused(*arguments: Any) -> None:
        raise AssertionError("a graph cannot set or read a random state")

    with pytest.MonkeyPatch.context() as patched:
        for name in ("manual_seed", "seed", "get_rng_state", "set_rng_state"):
            patched.setattr(torch, name, refused)
        patched.setattr(drawn_masks, "Stream", refused)
        yield


@pytest.fixture
def captured(
    monkeypatch: pytest.MonkeyPatch, config: Config, any_device: None
) -> Callable[..., tuple[RunConfig, list[Replaying]]]:
    """Trains a run with the captured step on a CPU and returns it with its recorders, one for each start."""

    def make(*overrides: str) -> tuple[RunConfig, list[Replaying]]:
        recorders: list[Replaying] = []

        def recorder(device: torch.device) -> Replaying:
            recorders.append(Replaying())
            return recorders[-1]

        monkeypatch.setattr(module, "CudaGraphs", recorder)
        run = config(*overrides, "trainer.cuda_graph=true", f"paths.results={config().paths.results}2")
        return run, recorders

    return make


LONG = ("schedule.iterations=10", "schedule.warmup_iterations=2", "schedule.milestones=[6]", "schedule.log_every=1")


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("bn_batch=8", "shortcut=dropout"),
        ("bn_batch=8", "trainer.micro_batches_per_pass=2", "precision=bf16-mixed"),
        ("bn_batch=8", "trainer.micro_batches_per_pass=4", "shortcut=dropout", "precision=bf16-mixed"),
    ],
)
def test_the_captured_step_trains_what_the_eager_step_trains(
    config: Config, captured: Callable[..., tuple[RunConfig, list[Replaying]]], overrides: tuple[str, ...]
) -> None:
    """Byte for byte, over warm-up and milestone, evaluations between."""
    expected = train_run(config(*LONG, *overrides))
    run, recorders = captured(*LONG, *overrides)
    assert numbers(train_run(run)) == numbers(expected)
    assert run.folder.curve.read_bytes() == config(*LONG, *overrides).folder.curve.read_bytes()
    (recorder,) = recorders
    assert recorder.drawn == [], "a replay reads the numbers of masks and draws none"


@pytest.mark.parametrize(("bn_batch", "passes"), [(32, 1), (16, 2)])
def test_each_pass_is_recorded_once_and_the_update_at_each_learning_rate(
    captured: Callable[..., tuple[RunConfig, list[Replaying]]], bn_batch: int, passes: int
) -> None:
    run, recorders = captured(*LONG, f"bn_batch={bn_batch}")
    train_run(run)
    (recorder,) = recorders
    eager, recorded, replayed = ["run"], ["record", "replay"], ["replay"]
    at_the_milestone = [*replayed * passes, *recorded]
    assert recorder.log == [
        *eager * (passes + 1) * WARM_UP,
        *recorded * (passes + 1),  # iteration 3
        *replayed * (passes + 1) * 2,
        *at_the_milestone,  # iteration 6
        *replayed * (passes + 1) * 3,
    ]


def test_resumed_equals_uninterrupted(
    captured: Callable[..., tuple[RunConfig, list[Replaying]]], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the run was eager before and after."""
    expected = train_run(config(*LONG, "shortcut=dropout"))
    run, recorders = captured(*LONG, "shortcut=dropout")
    eager = run.model_copy(update={"trainer": run.trainer.model_copy(update={"cuda_graph": False})})
    stopped_at(monkeypatch, run, 5)
    stopped_at(monkeypatch, eager, 6)
    assert numbers(train_run(run)) == numbers(expected)
    assert len(recorders) == 2


def test_a_graph_reads_its_inputs_from_the_same_memory() -> None:
    weight = torch.nn.Parameter(torch.eye(3))
    sums = torch.zeros(2, dtype=torch.float64)
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    places: set[int] = set()

    def forward(images: torch.Tensor) -> torch.Tensor:
        places.add(images.data_ptr())
        return images @ weight

    step = CapturedStep(Step(forward, optimizer, sums, 1, None), optimizer, Replaying())
    batches = [(torch.randn(4, 3), torch.tensor([0, 1, 2, 0])) for _ in range(6)]
    for images, labels in batches:
        step.add_gradients(0, images, labels)
        optimizer.step()
    assert len(places) == WARM_UP + 1
    assert sums[0].item() > 0


def test_on_a_cpu_it_is_refused_before_anything_is_written(config: Config) -> None:
    run = config("trainer.cuda_graph=true")
    with pytest.raises(UserError, match=r"trainer\.cuda_graph=true: a CUDA graph needs a CUDA GPU"):
        train_run(run)
    assert not run.folder.path.exists()


@pytest.mark.parametrize("setting", ["trainer.recompute=true", "trainer.compile=reduce-overhead"])
def test_settings_that_a_graph_cannot_record_are_refused(config: Config, setting: str) -> None:
    with pytest.raises(UserError, match=r"trainer\.cuda_graph=true") as refusal:
        config("trainer.cuda_graph=true", setting)
    assert len(refusal.value.messages) == 1
    assert "\n" not in refusal.value.messages[0]


def test_it_is_not_in_the_key(config: Config) -> None:
    assert config("trainer.cuda_graph=true").key == config("trainer.micro_batches_per_pass=1").key == config().key
