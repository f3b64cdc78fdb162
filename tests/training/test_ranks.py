"""Several ranks train like one device that sees all their micro-batches in order."""

import multiprocessing
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import product
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from comparing import check_alike
from observing import numbers, wait_until
from other_ranks import falls, train_as
from pytorch_lightning.callbacks import LambdaCallback
from torch import Tensor, nn

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig, validate
from resnet_ablations.data import room
from resnet_ablations.data.array_batches import ArrayBatches
from resnet_ablations.data.batches import WHOLE, Share
from resnet_ablations.data.images import Images
from resnet_ablations.errors import UserError
from resnet_ablations.network.masks import Mask
from resnet_ablations.overrides import compose
from resnet_ablations.results.curve import CurveRow
from resnet_ablations.results.locks import RunLock
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.training import rank_processes
from resnet_ablations.training import run as training
from resnet_ablations.training.data_module import DataModule
from resnet_ablations.training.fork_server import fork_server, start_process
from resnet_ablations.training.module import TrainingModule
from resnet_ablations.training.rank_processes import rendezvous, train_in_ranks
from resnet_ablations.training.ranks import (
    PeerLost,
    RankFailed,
    RankKilled,
    Ranks,
    process_group,
    rank_from_environment,
)
from resnet_ablations.training.running_statistics import RunningStatistics
from resnet_ablations.training.stopping import Interrupted, StopRequest
from resnet_ablations.training.trainer import Extras, lightning_trainer, quiet_lightning

Config = Callable[..., RunConfig]

# Dropout, so that masks count; four micro-batches, so that 1, 2 and 4 ranks can share them.
FOUR_MICRO_BATCHES = (
    "shortcut=dropout",
    "schedule.batch_size=32",
    "bn_batch=8",
    "schedule.iterations=30",
    "schedule.milestones=[20]",
    "schedule.log_every=1",
    "schedule.evaluate_every=30",
)


@dataclass
class Seen:
    """The batches of a rank, and the resulting network."""

    batches: dict[tuple[int, int], str] = field(default_factory=dict)
    """Iteration and micro-batch → digest of its images and labels."""
    means: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    """Iteration and micro-batch → the mean that the first batch normalisation subtracted."""
    masks: dict[tuple[int, int], str] = field(default_factory=dict)
    """Iteration and micro-batch → digest of the dropout masks of all units."""
    rows: list[CurveRow] = field(default_factory=list)
    state: dict[str, np.ndarray] = field(default_factory=dict)
    """Weights and running statistics after three steps."""


def watched_training(frozen: dict[str, Any], stop: StopRequest) -> Seen:
    """Train as one of the run's ranks; the first rank returns the data of all ranks."""
    torch.set_num_threads(1)
    config = validate(frozen)
    with process_group(config.trainer.ranks, gpu=False) as ranks:
        seen = Seen()
        batches = training.load_batches(config, ranks)
        hand_out, first = batches.train, ranks.share.rank * config.micro_batches // ranks.count
        network = build_network(config)
        here = (0, 0)

        def watched(iteration: int, micro_batch: int = 0, micro_batches: int = 1) -> tuple[Tensor, Tensor]:
            nonlocal here
            here = iteration, first + micro_batch
            images, labels = hand_out(iteration, micro_batch, micro_batches)
            seen.batches[here] = sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
            return images, labels

        batches.train = watched  # type: ignore[method-assign]
        layer = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))

        def averaged(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            if module.training:
                seen.means[here] = inputs[0].detach().mean((0, 2, 3)).numpy()

        layer.register_forward_hook(averaged)

        def masked(module: nn.Module, inputs: tuple[Tensor], mask: Tensor) -> None:
            so_far = seen.masks.get(here, "")
            seen.masks[here] = sha256(so_far.encode() + mask.contiguous().numpy().tobytes()).hexdigest()

        for mask in (module for module in network.modules() if isinstance(module, Mask)):
            mask.register_forward_hook(masked)

        def after_iteration(trainer: pl.Trainer, module: TrainingModule, *arguments: object) -> None:
            if module.iterations_done == 3:
                with module.statistics.kept():
                    module.statistics.sum_over_ranks()
                    seen.state = {name: value.numpy().copy() for name, value in network.state_dict().items()}

        module = TrainingModule(network, config, None, ranks)
        iterations = config.schedule.iterations
        extras = Extras(callbacks=[LambdaCallback(on_train_batch_end=after_iteration)])
        with quiet_lightning():
            trainer = lightning_trainer(config, iterations, ranks, extras)
            trainer.fit(module, datamodule=DataModule(config.key, batches, range(iterations)))
        seen.rows += module.rows
        everything: list[Any] = [seen]
        if ranks.count > 1:
            everything = [None] * ranks.count
            dist.all_gather_object(everything, seen)
        count = sum(len(other.batches) for other in everything)
        for other in everything:
            seen.batches |= other.batches
            seen.means |= other.means
            seen.masks |= other.masks
            for name, value in other.state.items():
                np.testing.assert_array_equal(value, seen.state[name], name)  # inside, every rank has the whole
        assert len(seen.batches) == count  # none was seen by two
        return seen


def in_ranks(config: RunConfig) -> Seen:
    return train_in_ranks(config.trainer.devices, watched_training, (config.as_dict(),), StopRequest())


def test_two_and_four_ranks_train_what_one_device_does(config: Config) -> None:
    alone = watched_training(config(*FOUR_MICRO_BATCHES).as_dict(), StopRequest())
    assert len(alone.batches) == 4 * 30
    for devices in (2, 4):
        shared = in_ranks(config(*FOUR_MICRO_BATCHES, f"trainer.devices={devices}"))

        assert shared.batches == alone.batches
        assert shared.masks == alone.masks
        assert len(shared.masks) == len(set(shared.masks.values())) == 4 * 30
        for iteration, micro_batch in product(range(3), range(4)):
            mean, expected = shared.means[iteration, micro_batch], alone.means[iteration, micro_batch]
            np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)
        for row, expected in zip(shared.rows[:3], alone.rows[:3], strict=True):
            assert row.train_loss == pytest.approx(expected.train_loss, rel=1e-6)
            assert row.train_error == expected.train_error
        for name, value in alone.state.items():
            np.testing.assert_allclose(shared.state[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
        # Later, where the rounding of one sum may have changed the sign of an activation: to one image.
        assert shared.rows[-1].test_error == pytest.approx(alone.rows[-1].test_error, abs=100 / 360 + 1e-6)


def test_the_papers_two_groups_on_two_devices_are_the_same_numbers_to_the_last_bit(config: Config) -> None:
    """A half is exact in binary, and a sum of two terms has only one order."""
    two = (*FOUR_MICRO_BATCHES, "bn_batch=16")
    alone = watched_training(config(*two).as_dict(), StopRequest())
    shared = in_ranks(config(*two, "trainer.devices=2"))

    of_training = [(row.train_loss, row.train_error) for row in alone.rows]
    assert [(row.train_loss, row.train_error) for row in shared.rows] == of_training
    assert shared.rows[-1].test_error == alone.rows[-1].test_error
    for name, value in alone.state.items():
        if "running" not in name:  # those are a sum of two terms
            np.testing.assert_array_equal(shared.state[name], value, name)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_test_image_is_in_one_share(count: int) -> None:
    size = 10_007
    images = np.zeros((size, 1, 1, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(size) % 256, np.arange(size) // 256
    few = Images(images[:1000], np.zeros(1000, np.int64), images, np.arange(size) % 10)
    found = []
    for rank in range(count):
        batches = ArrayBatches(
            few, pad=0, flip=False, normalisation="per_channel", batch_size=6, seed=0, share=Share(rank, count)
        )
        batches.mean, batches.deviation = torch.zeros(3), torch.ones(3)
        for pixels, labels in batches.test():
            numbers = pixels[:, 0, 0, 0] + 256 * pixels[:, 1, 0, 0]
            assert torch.equal(numbers.long() % 10, labels)
            found += numbers.long().tolist()

    assert sorted(found) == list(range(size))


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_shares_of_the_running_statistics_add_up_to_those_of_one_device(count: int) -> None:
    micro_batches = 6
    batches = [[torch.randn(8, 3, 2, 2) * (1 + number) + number for number in range(micro_batches)] for _ in range(3)]
    momenta = (0.1, 0.3)

    def layers() -> nn.Sequential:
        return nn.Sequential(*(nn.BatchNorm2d(3, momentum=momentum) for momentum in momenta))

    alone = layers()
    for iteration in batches:
        for batch in iteration:
            alone(batch)
    shares = [layers() for _ in range(count)]
    for rank, network in enumerate(shares):
        statistics = RunningStatistics(network, Ranks(Share(rank, count)), micro_batches)
        own = micro_batches // count
        for iteration in batches:
            statistics.decay_for_earlier_ranks()
            for batch in iteration[rank * own : (rank + 1) * own]:
                network(batch)
            statistics.decay_for_later_ranks()

    for name, value in alone.state_dict().items():
        if "running" in name or "num_batches" in name:
            total = torch.stack([network.state_dict()[name] for network in shares]).sum(0)
            torch.testing.assert_close(total, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("devices", [2, 4])
def test_averaged_statistics_are_those_of_one_device(config: Config, devices: int) -> None:
    """Learning rates this small leave the weights as they are, so that only the statistics can differ."""
    run = (*FOUR_MICRO_BATCHES, "bn_statistics=averaged", "schedule.learning_rate=1e-12", "schedule.iterations=3")
    end = ("schedule.milestones=[]", "schedule.warmup_iterations=0")
    alone, shared = (
        training.train_run(config(*run, *end)),
        training.train_run(config(*run, *end, f"trainer.devices={devices}", "schedule.evaluate_every=2")),
    )
    assert alone is not None
    assert shared is not None
    assert shared.test_loss == pytest.approx(alone.test_loss, rel=1e-5)
    assert shared.test_error == alone.test_error


def stopped_early(run: RunConfig) -> None:
    """Train until the ranks have handled a signal that comes while they are starting."""
    stop = StopRequest()
    stop.signal = signal.SIGTERM
    with pytest.raises(Interrupted):
        training.train_run(run, stop)


@pytest.mark.parametrize("devices", [2, 4])
def test_resumed_equals_uninterrupted_on_several_devices_too(config: Config, tmp_path: Path, devices: int) -> None:
    """Weights, running statistics, and the sums of a curve row that the stop has split."""
    few = ("schedule.iterations=5", "schedule.log_every=2", "schedule.evaluate_every=5", f"trainer.devices={devices}")
    run, straight = (
        config(*FOUR_MICRO_BATCHES, *few, "schedule.milestones=[3]", f"paths.results={tmp_path}/{name}")
        for name in ("stopped", "straight")
    )
    stopped_early(run)
    assert run.folder.resumable_from() == 1
    resumed, expected = training.train_run(run), training.train_run(straight)

    assert numbers(resumed) == numbers(expected)
    for name in ("curve", "responses", "weights"):
        assert getattr(run.folder, name).read_bytes() == getattr(straight.folder, name).read_bytes()


SIZE = 10_007
"""Test images, in eleven batches that no number of ranks shares equally."""


def ten_thousand() -> Images:
    draw = np.random.default_rng(0)
    pixels, labels = draw.integers(0, 256, (SIZE, 8, 8, 1), np.uint8), draw.integers(0, 10, SIZE)
    return Images(pixels[:64], labels[:64], pixels, labels)


def evaluated(frozen: dict[str, Any], stop: StopRequest) -> list[tuple[float, float]]:
    """Return each rank's evaluation of ten thousand images."""
    torch.set_num_threads(1)
    config = validate(frozen)
    with process_group(config.trainer.ranks, gpu=False) as ranks, quiet_lightning():
        batches = batches_of(ten_thousand(), ranks.share)
        network = build_network(config)
        module = TrainingModule(network, config, None, ranks)
        module.batches = batches
        module.statistics = RunningStatistics(network, ranks, config.micro_batches)
        module.trainer = lightning_trainer(config, 1, ranks)
        found = module.evaluate()
        return [found, *ranks.gather(found)]


def batches_of(images: Images, share: Share = WHOLE) -> ArrayBatches:
    return ArrayBatches(images, pad=0, flip=False, normalisation="per_channel", batch_size=32, seed=0, share=share)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_evaluation_by_several_ranks_is_that_by_one(config: Config, count: int) -> None:
    run = config(*FOUR_MICRO_BATCHES, "schedule.batch_size=48", f"trainer.devices={count}")
    network = build_network(run).eval()
    with torch.no_grad():
        logits = torch.cat([network(batch) for batch, _ in batches_of(ten_thousand()).test()])
    labels = torch.from_numpy(ten_thousand().test_labels)
    wrong = int((logits.argmax(1) != labels).sum())
    loss = torch.nn.functional.cross_entropy(logits.double(), labels).item()

    found = train_in_ranks(count, evaluated, (run.as_dict(),), StopRequest())

    assert len(found) == count
    for found_loss, found_error in found:
        assert found_error == 100 * wrong / SIZE
        assert found_loss == pytest.approx(loss, rel=1e-6)


@contextmanager
def started_as(**environment: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


@contextmanager
def beside_another(run: RunConfig) -> Iterator[ForkServerProcess]:
    """Train as the first of two ranks, next to a process for the other one, as torchrun or SLURM would start it."""
    _store, meeting = rendezvous(2)
    meeting["LOCAL_RANK"] = "0"
    process = fork_server().Process(target=train_as, args=({**meeting, "RANK": "1"}, run.as_dict()))
    assert start_process(process)
    try:
        with started_as(**meeting, RANK="0"):
            yield process
        process.join(60)
    finally:
        process.kill()
        process.join()


def test_processes_started_by_torchrun_on_two_machines_train_one_run(config: Config, tmp_path: Path) -> None:
    few = (*FOUR_MICRO_BATCHES, "schedule.iterations=5", "schedule.milestones=[3]")
    run, alike = config(*few, "trainer.nodes=2"), config(*few, "trainer.devices=2", f"paths.results={tmp_path}/alike")
    with beside_another(run) as other:
        result = training.train_run(run)
    assert other.exitcode == 0
    assert result is not None
    assert result.provenance["machine"]["device"] == "2 × cpu"
    assert numbers(result) == numbers(training.train_run(alike))
    assert run.folder.curve.read_bytes() == alike.folder.curve.read_bytes()
    assert {path.name for path in run.folder.path.iterdir()} == {path.name for path in alike.folder.path.iterdir()}
    assert run.folder.signals.read_bytes() == alike.folder.signals.read_bytes()

    alone = config(*few, f"paths.results={tmp_path}/alone")
    assert alone.key == run.key
    training.train_run(alone)
    check_alike(tmp_path / "results", tmp_path / "alone")


def test_other_ranks_learn_that_another_process_has_finished_the_run(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process finished it after these ranks looked and before the first rank got the lock."""
    few = (*FOUR_MICRO_BATCHES, "schedule.iterations=1", "schedule.milestones=[]", "schedule.warmup_iterations=0")
    there = config(*few)
    result = training.train_run(there)
    run = config(*few, "trainer.devices=2", f"paths.results={tmp_path}/mine")

    class Late(RunLock):
        def __enter__(self) -> Self:
            wait_until(run.folder.log.exists)
            shutil.copytree(there.folder.path, run.folder.path, dirs_exist_ok=True)
            return super().__enter__()

    monkeypatch.setattr(training, "RunLock", Late)
    with beside_another(run) as other:
        assert training.train_run(run) == result
    assert other.exitcode == 0

    # And whoever comes when the result is there meets the others, who may have looked before.
    with beside_another(run) as other:
        assert training.train_run(run) == result
    assert other.exitcode == 0


def test_a_killed_rank_of_torchrun_ends_the_run(config: Config) -> None:
    run = config(*FOUR_MICRO_BATCHES, "schedule.iterations=2000", "trainer.devices=2")

    def kill_it() -> None:
        wait_until(lambda: run.folder.curve.exists() and run.folder.curve.read_text().count("\n") > 3)
        other.kill()

    with beside_another(run) as other:
        threading.Thread(target=kill_it).start()
        with pytest.raises(RankKilled):
            training.train_run(run)
    status = run.folder.status()
    assert status is not None
    assert (status.outcome, status.killed) == ("failed", True)
    assert status.reason == "another rank ended without reporting an error"


def test_another_rank_writes_its_own_failure_to_the_status(config: Config) -> None:
    """torchrun or SLURM may kill the first rank before it has received the failure."""
    run = config(*FOUR_MICRO_BATCHES, "trainer.devices=2")
    ranks = Ranks(Share(1, 2))
    lost_with_reason, lost_without = PeerLost(), RankKilled("another rank ended without reporting an error")
    with RunLock(run.folder.path) as lock:
        writer = RunWriter(run.folder, lock)
        for error, told in (
            (UserError("image.png: cannot be read"), "image.png: cannot be read"),
            (ValueError("no such thing"), "rank 1 of 2: ValueError: no such thing"),
        ):
            with pytest.raises((UserError, RankFailed)), training._noting_failure(ranks, writer, run):
                raise error
            status = run.folder.status()
            assert status is not None
            assert (status.outcome, status.reason, status.killed) == ("failed", told, False)
        writer.set_status(status.model_copy(update={"outcome": "running", "reason": ""}))
        for error in (lost_with_reason, lost_without):
            with pytest.raises(type(error)), training._noting_failure(ranks, writer, run):
                raise error
            status = run.folder.status()
            assert status is not None
            assert status.outcome == "running", "of that it knows no more than the first"
    # The run is another process's.
    with pytest.raises(RankFailed), training._noting_failure(ranks, writer, run):
        raise ValueError("no such thing")
    status = run.folder.status()
    assert status is not None
    assert status.outcome == "running"


@pytest.mark.parametrize(
    ("how", "kind", "told"),
    [
        ("killed", RankKilled, r"^rank 1 of 2 was killed by signal 9$"),
        ("mistaken", UserError, r"^image.png: cannot be read$"),
        ("wrong", RankFailed, r"^rank 1 of 2: ValueError: no such thing\n"),
    ],
)
def test_the_first_failure_of_a_rank_is_reported(how: str, kind: type, told: str) -> None:
    with pytest.raises(kind, match=told):
        train_in_ranks(2, falls, (how,), StopRequest())


def test_the_rank_is_read_from_the_environment() -> None:
    assert rank_from_environment(2) is None
    with started_as(RANK="1", WORLD_SIZE="2"):
        assert rank_from_environment(2) == 1
        for count in (1, 4):  # with 1, both processes would train the same run
            named = rf"^WORLD_SIZE=2: .* trainer.nodes = {count}; start {count}, or set trainer.devices$"
            with pytest.raises(UserError, match=named):
                rank_from_environment(count)
    with started_as(RANK="0", WORLD_SIZE="1"):
        assert rank_from_environment(1) is None
    for rank, size in (("", ""), ("0", ""), ("", "2")):  # a stray variable of another program starts nothing
        with started_as(RANK=rank, WORLD_SIZE=size):
            assert rank_from_environment(2) is None
    for rank, size, told in (
        ("0", "two", "WORLD_SIZE=two: must be a whole number"),
        ("x", "2", "RANK=x: must be a whole number"),
        ("2", "2", "RANK=2: must be from 0 to 1, as WORLD_SIZE=2"),
        ("-1", "2", "RANK=-1: must be from 0 to 1"),
    ):
        with started_as(RANK=rank, WORLD_SIZE=size), pytest.raises(UserError, match=f"^{told}"):
            rank_from_environment(2)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("schedule.batch_size=128", "bn_batch=64", "trainer.devices=3"), "allowed: 1, 2 in all"),
        (("schedule.batch_size=128", "bn_batch=64", "trainer.devices=4"), "bn_batch=32 would allow it"),
        (
            ("schedule.batch_size=128", "bn_batch=48"),
            "bn_batch=48: must divide schedule.batch_size=128; allowed: 1, 2, 4, 8, 16, 32",
        ),
        (("schedule.batch_size=128", "bn_batch=16", "trainer.devices=2", "trainer.nodes=3"), "allowed: 1, 2, 4, 8"),
    ],
)
def test_an_unequal_split_over_devices_is_refused(config: Config, overrides: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        config(*overrides)


def test_devices_are_no_part_of_the_key(config: Config) -> None:
    split = ((), ("trainer.devices=2",), ("trainer=ddp",), ("trainer.devices=2", "trainer.nodes=2"))
    assert len({compose([*FOUR_MICRO_BATCHES, *overrides]).key for overrides in split}) == 1
    assert len({config(*FOUR_MICRO_BATCHES, f"bn_batch={size}").key for size in (8, 16, 32)}) == 3


def test_several_machines_need_slurm_or_torchrun(config: Config) -> None:
    run = config(*FOUR_MICRO_BATCHES, "trainer.nodes=2")
    with pytest.raises(UserError, match=r"^trainer.nodes=2: only SLURM"):
        training.train_run(run)
    assert not run.folder.path.exists()


def test_more_gpus_than_there_are_are_refused(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    run = config(*FOUR_MICRO_BATCHES, "trainer=gpu", "trainer.devices=4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"^trainer.devices=4: this machine has 2 CUDA GPUs"):
        training.train_run(run)
    assert not run.folder.path.exists()


def test_a_rank_that_neither_answers_nor_ends() -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    sender.close()
    process: Any = SimpleNamespace(join=lambda seconds: None, exitcode=None)
    with pytest.raises(RankKilled, match=r"^rank 1 of 2 sent no answer and did not end within 20 seconds$"):
        rank_processes._answer(receiver, process, "rank 1 of 2")


def test_memory_is_checked_for_all_ranks_of_a_machine_before_one_loads(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank alone sees memory that another is about to take."""

    class Waits(Ranks):
        def broadcast(self, make: Callable[[], Any]) -> Any:
            return make()

        def all_reduce_max(self, *numbers: int) -> list[int]:
            raise EOFError

    @contextmanager
    def two_ranks(count: int, *, gpu: bool) -> Iterator[Ranks]:
        yield Waits(Share(0, count), local_rank=0)

    run, size = config("trainer.devices=2", "bn_batch=16"), (1437 + 360) * 8 * 8
    monkeypatch.setattr(training, "process_group", two_ranks)
    monkeypatch.setattr(room, "available_memory", lambda: 2 * size - 1)
    with pytest.raises(UserError, match=r"\(2 copies, one for each device\)"):
        training._join_and_train(run, None, StopRequest())
    monkeypatch.setattr(room, "available_memory", lambda: 2 * size)
    with pytest.raises(EOFError):
        training._join_and_train(run, None, StopRequest())
