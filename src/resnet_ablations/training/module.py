"""The LightningModule of a run: its steps and its curve."""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.data.batches import Batches
from resnet_ablations.data.waiting import StoppedWaiting
from resnet_ablations.errors import UserError
from resnet_ablations.probe.responses import Response
from resnet_ablations.probe.signals import unit_signals
from resnet_ablations.results.curve import CurveRow
from resnet_ablations.results.signals import UnitSignals
from resnet_ablations.sums import device_of_sums
from resnet_ablations.training.captured import CapturedStep, CudaGraphs
from resnet_ablations.training.checkpoint import Checkpoint
from resnet_ablations.training.compute import in_memory_format, micro_batches_per_pass, training_pass
from resnet_ablations.training.drawn_masks import DrawnMasks
from resnet_ablations.training.evaluation import Evaluation
from resnet_ablations.training.micro_batch_norm import normalise_by_micro_batch, one_micro_batch
from resnet_ablations.training.ranks import ALONE, Ranks
from resnet_ablations.training.running_statistics import AVERAGED_ITERATIONS, RunningStatistics
from resnet_ablations.training.sgd import set_learning_rate, split_by_decay
from resnet_ablations.training.step import Step, loss_and_errors
from resnet_ablations.training.trainer import check_trainer


class TrainingModule(pl.LightningModule):
    """The module that trains `network` by the schedule, on the images of a `DataModule`.

    `rows` is the curve; its numbers are logged by Lightning too. Lightning's batch is only the number of the iteration.
    The images of an iteration are divided into micro-batches of `bn_batch` images. Each micro-batch has its own
    statistics of batch normalisation, as on the paper's two GPUs. One forward and backward pass takes one or more
    micro-batches (`micro_batches_per_pass`); the gradients of the passes are averaged. Several ranks take equal shares
    of the micro-batches. The statistics for evaluation are the same as if one device had seen all micro-batches in
    order (`RunningStatistics`).
    """

    automatic_optimization = False

    def __init__(
        self,
        network: nn.Module,
        config: RunConfig,
        start: Checkpoint | None = None,
        ranks: Ranks = ALONE,
        record_signals: Callable[[int, list[UnitSignals]], None] | None = None,
    ) -> None:
        super().__init__()
        self.network = in_memory_format(network, config.trainer.channels_last)
        self.training_pass = training_pass(self.network, config.trainer.compile)
        self.config = config
        self.ranks = ranks
        self.schedule = config.schedule
        self.micro_batches, self.bn_batch = config.micro_batches, config.bn_batch
        self.averaged = config.bn_statistics == "averaged"
        self.record_signals = record_signals
        self.start = start
        self.diverged = False
        self.warmed_up = False
        self.rows: list[CurveRow] = []
        """The rows of the curve since `start`."""
        self.row: CurveRow | None = None
        """The row that the last iteration completed, if it completed one."""
        self.metrics: dict[str, float] = {}
        self.responses: list[Response] = []
        self.training_seconds = 0.0
        self.iteration = -1
        """The last iteration that has begun, counted from 0; −1 before the first."""
        self.since_record = 0
        self.sums = torch.zeros(2, dtype=torch.float64)
        if start is not None:
            self.iteration = start.iteration - 1
            self.network.load_state_dict(start.network)
            self.sums = start.sums.clone() if ranks.is_first else torch.zeros_like(start.sums)
            self.since_record = start.since_record
            self.warmed_up = start.warmed_up
            self.training_seconds = start.seconds

    def configure_optimizers(self) -> torch.optim.Optimizer:
        decayed, spared = split_by_decay(self.network, self.schedule.weight_decay_on)
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
        return torch.optim.SGD(
            [group for group in groups if group["params"]],
            lr=self.schedule.learning_rate_at(0) if self.start is None else self.start.learning_rate,
            momentum=self.schedule.momentum,
            nesterov=self.schedule.nesterov,
            weight_decay=self.schedule.weight_decay,
            # On a CPU the fused kernel rounds differently from the loop over the parameters.
            fused=True if self.device.type == "cuda" else None,
        )

    def on_fit_start(self) -> None:
        check_trainer(self.trainer, self.config)
        self.batches: Batches = self.trainer.datamodule.batches.to(self.device)  # type: ignore[attr-defined]
        self.sums = self.sums.to(device_of_sums(self.device))
        own = self.micro_batches // self.ranks.count
        self.per_pass = micro_batches_per_pass(self.config.trainer.micro_batches_per_pass, own, self.device)
        self.passes = own // self.per_pass
        if self.per_pass > 1:
            normalise_by_micro_batch(self.network, self.per_pass)
        self.masks = DrawnMasks(self.network, self.config, self.ranks.share, self.passes, self.device)
        self.statistics = RunningStatistics(self.network, self.ranks, self.micro_batches)
        if self.start is not None:
            self._restore_terms(self.start.others)
        self.resumed_at = time.perf_counter()

    def on_train_start(self) -> None:
        optimizer = self._optimizer()
        if self.start is not None:
            for parameter, buffer in zip(self._parameters_in_order(), self.start.momentum, strict=True):
                # The fused update needs the parameter's memory format; an older checkpoint may have another one.
                optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffer)
        self.step: Step | CapturedStep = Step(
            self.training_pass, optimizer, self.sums, self.passes, self.config.trainer.compile
        )
        if self.config.trainer.cuda_graph:
            self.step = CapturedStep(self.step, optimizer, CudaGraphs(self.device))

    def _restore_terms(self, others: Sequence[Sequence[Tensor]]) -> None:
        """Add the checkpoint's terms of this rank; if the number of ranks has changed, rank 0 adds the terms of all."""
        own, place = [*self.statistics.terms, self.sums], self.ranks.share.rank - 1
        same = len(others) == self.ranks.count - 1
        for terms in ([others[place]] if place >= 0 else []) if same else (others if self.ranks.is_first else []):
            for mine, term in zip(own, terms, strict=True):
                mine.add_(term.to(mine.device))

    def checkpoint(
        self, key: str, curve: str, signals: str, elapsed: float, attempts: list[dict[str, Any]]
    ) -> Checkpoint:
        """Return the run's state after the last iteration; only the first rank's state has the terms of all ranks."""
        others = self.ranks.gather([term.cpu() for term in (*self.statistics.terms, self.sums)])
        state = self._optimizer().state
        return Checkpoint(
            key=key,
            iteration=self.iterations_done,
            network=self.network.state_dict(),
            momentum=[state[parameter]["momentum_buffer"] for parameter in self._parameters_in_order()],
            learning_rate=self._optimizer().param_groups[0]["lr"],
            sums=self.sums,
            since_record=self.since_record,
            curve=curve,
            signals=signals,
            seconds=self.training_seconds + time.perf_counter() - self.resumed_at,
            elapsed=elapsed,
            warmed_up=self.warmed_up,
            others=others,
            attempts=attempts,
        )

    def _optimizer(self) -> torch.optim.Optimizer:
        return self.trainer.optimizers[0]

    def _parameters_in_order(self) -> list[nn.Parameter]:
        return [parameter for group in self._optimizer().param_groups for parameter in group["params"]]

    @property
    def iterations_done(self) -> int:
        """The number of complete iterations, with those before `start`."""
        return self.iteration + 1

    @property
    def is_done(self) -> bool:
        """True after the last iteration of the schedule, and if the run has diverged."""
        return self.diverged or self.iterations_done == self.schedule.iterations

    def training_step(self, iteration: int) -> None:
        if iteration != self.iterations_done:
            raise UserError(
                f"trainer.fit: after {self.iterations_done} iterations comes number {iteration + 1}; a run trains each "
                "iteration once, so the trainer needs a new module and no limit_train_batches"
            )
        self.iteration = iteration
        self.row = None
        # Lightning turns off the cache. The weights are constant within an iteration, so one cast of each is enough.
        torch.set_autocast_cache_enabled(True)
        for number in range(self.passes):
            try:
                images, labels = self.batches.train(iteration, number, self.passes)
            except StoppedWaiting:
                if number > 0 or self.ranks.count > 1 or not self._optimizer().state:
                    raise
                self.iteration = iteration - 1  # the state is that after the previous iteration
                return
            if number == 0:
                self.statistics.decay_for_earlier_ranks()
            self.masks.draw(iteration, number)
            if number == 0 and self._records_signals(iteration):
                # A copy, so that the other images of the pass are freed.
                self.first_micro_batch = images[: self.bn_batch].clone(), labels[: self.bn_batch].clone()
                if iteration == 0:
                    self._record_signals(0)
            self.step.add_gradients(number, images, labels)
        self.optimizers().step()  # type: ignore[union-attr]
        self._end_iteration()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.ranks.count > 1:
            gradients = [parameter.grad for parameter in self._parameters_in_order() if parameter.grad is not None]
            self.ranks.all_reduce_sum(*gradients)
            torch._foreach_div_(gradients, self.ranks.count)
        set_learning_rate(optimizer, self._learning_rate(), self.schedule.momentum_form)

    def _learning_rate(self) -> float:
        """Return the learning rate of the current iteration."""
        return self.schedule.learning_rate_at(self.iteration, warmed_up=self.warmed_up)

    def _end_iteration(self) -> None:
        self.statistics.decay_for_later_ranks()
        iteration = self.iterations_done
        self.since_record += 1
        evaluated = self._is_evaluated(self.iteration)
        if evaluated or iteration % self.schedule.log_every == 0:
            self._record(iteration, evaluated)
        if self.is_done:
            self.trainer.should_stop = True

    def _record(self, iteration: int, evaluated: bool) -> None:
        iterations, self.since_record = self.since_record, 0
        images = iterations * self.schedule.batch_size
        self.ranks.all_reduce_sum(self.sums)
        train_loss, train_errors = self.sums.tolist()
        self.sums.zero_()
        self.training_seconds += time.perf_counter() - self.resumed_at
        test_loss, test_error = self.evaluate() if evaluated and math.isfinite(train_loss) else (None, None)
        finite = math.isfinite(train_loss) and (test_loss is None or math.isfinite(test_loss))
        if not finite:
            self._check_inputs(iterations, tested=test_loss is not None)
        row = CurveRow(
            iteration=iteration,
            learning_rate=self._learning_rate(),
            train_loss=train_loss / images,
            train_error=100 * train_errors / images,
            test_loss=test_loss,
            test_error=test_error,
        )
        self.row = row
        self.rows.append(row)
        numbers = {name: value for name, value in asdict(row).items() if value is not None and name != "iteration"}
        self.log_dict(numbers, on_step=True, on_epoch=False, batch_size=images)
        if finite and evaluated:
            self._record_signals(iteration)
        if self.schedule.warmup_until_error is not None:
            self.warmed_up |= row.train_error < self.schedule.warmup_until_error
        if not finite:
            self.diverged = True
        self.resumed_at = time.perf_counter()

    def _is_evaluated(self, iteration: int) -> bool:
        """Return whether the network is evaluated after the update of `iteration`, counted from 0."""
        return iteration + 1 == self.schedule.iterations or (iteration + 1) % self.schedule.evaluate_every == 0

    def _records_signals(self, iteration: int) -> bool:
        """Return whether this rank records signals before or after the update of `iteration`, counted from 0."""
        return self.record_signals is not None and (iteration == 0 or self._is_evaluated(iteration))

    def _record_signals(self, updates: int) -> None:
        """Record the signals of the units on the first micro-batch of the current iteration, after `updates` updates.

        The network and the time of training stay as they were.
        """
        if self.record_signals is None:
            return
        began = time.perf_counter()
        cached = torch.is_autocast_cache_enabled()
        # The cached weights of a step must not come from here.
        torch.set_autocast_cache_enabled(False)
        with (
            self.statistics.kept(),
            one_micro_batch(self.network),
            self.masks.of_first_images(self.iteration, self.bn_batch),
            self.trainer.precision_plugin.forward_context(),
        ):
            units = unit_signals(self.network, *self.first_micro_batch)
        torch.set_autocast_cache_enabled(cached)
        self.record_signals(updates, units)
        self.resumed_at += time.perf_counter() - began

    def _check_inputs(self, iterations: int, tested: bool) -> None:
        """Raise `UserError` if an image of the last `iterations`, or a test image if `tested`, has a non-finite value.

        With such values the loss says nothing about the network. The images are read again here, so that training steps
        need no check.
        """
        recent = range(self.iteration + 1 - iterations, self.iteration + 1)
        trained = (
            self.batches.train(iteration, number, self.passes) for iteration in recent for number in range(self.passes)
        )
        batches = itertools.chain(trained, self.batches.test() if tested else ())
        sound = all(images.isfinite().all() for images, _ in batches)
        if self.ranks.all_reduce_max(int(not sound)) == [1]:
            raise UserError(
                f"data: images of iterations {recent.start + 1} to {recent.stop}, or test images, have values that are "
                "not finite after normalisation; repair the images or change data.normalisation"
            )

    @property
    def images_per_second(self) -> float:
        """The training images per second so far, without the time of evaluations."""
        seconds = self.training_seconds + time.perf_counter() - self.resumed_at
        return self.iterations_done * self.schedule.batch_size / seconds

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's logits."""
        return self.network(images)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Log cross-entropy and error (%) of test images, with the network's own statistics of batch normalisation.

        A run's curve uses `evaluate` instead, also with averaged statistics and several ranks.
        """
        images, labels = batch
        logits = self(images)
        loss, errors = loss_and_errors(F.cross_entropy(logits, labels, reduction="sum"), logits, labels) / len(labels)
        self.log_dict({"val_loss": loss, "val_error": 100 * errors}, batch_size=len(labels))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to resume from Lightning's checkpoints, which lack the sums since the last row of the curve."""
        if self.trainer.state.fn == "fit":
            raise UserError("ckpt_path: only train_run resumes a run, from its own checkpoints; remove ckpt_path")

    def evaluate(self) -> tuple[float, float]:
        """Return cross-entropy and error (%) on the test set."""
        with self._evaluation() as evaluation:
            return evaluation.loss_and_error()

    def on_train_end(self) -> None:
        """Compute the `metrics` and `responses` of a finished network."""
        if not self.diverged and self.is_done:
            with self._evaluation() as evaluation:
                self.metrics, self.responses = evaluation.metrics()
            self._set_statistics()
        else:
            self.statistics.sum_over_ranks()

    @contextmanager
    def _evaluation(self) -> Iterator[Evaluation]:
        with self.statistics.kept():
            self._set_statistics()
            self.network.eval()
            with torch.no_grad(), self.trainer.precision_plugin.forward_context():
                yield Evaluation(self.network, self.batches, self.ranks, self.device)
            self.network.train()

    def _set_statistics(self) -> None:
        """Give every rank's network the statistics for evaluation."""
        if not self.averaged:
            self.statistics.sum_over_ranks()
            return
        with torch.no_grad(), self.trainer.precision_plugin.forward_context():
            self.statistics.average(self._pass_first_batches)

    def _pass_first_batches(self) -> None:
        for iteration in range(min(AVERAGED_ITERATIONS, self.schedule.iterations)):
            for number in range(self.passes):
                images, _ = self.batches.train(iteration, number, self.passes)
                self.masks.draw(iteration, number)
                self.network(images)


def lightning_module(config: RunConfig) -> TrainingModule:
    """Return the module of a run for a plain `pl.Trainer`, which gets the images from `datamodule`.

    The trainer needs the run's precision and one device. It trains the schedule once, unless it has a lower limit of
    its own (`max_steps`, `fast_dev_run`), and gives the curve that `train_run` gives: `module.rows`. `trainer.fit`
    raises `UserError` if the device, the precision, the images or the order of iterations are not those of the run.
    """
    return TrainingModule(build_network(config), config)
