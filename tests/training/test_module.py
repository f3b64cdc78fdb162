"""An update, the logged numbers and the test error, against hand-written loops."""

import csv
from collections.abc import Callable
from itertools import pairwise, product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.data.array_batches import ArrayBatches
from resnet_ablations.network.masks import masks_of
from resnet_ablations.network.shortcuts import Gate
from resnet_ablations.results.run_folder import Result, RunFolder
from resnet_ablations.streams import Purpose, Stream
from resnet_ablations.training import run as training
from resnet_ablations.training.sgd import split_by_decay

Config = Callable[..., RunConfig]


def train(config: RunConfig) -> tuple[nn.Module, Result]:
    """Train a run, and return also its network."""
    network = build_network(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "build_network", lambda _: network)
        return network, training.train_run(config)


def curve(config: RunConfig) -> list[dict[str, str]]:
    return list(csv.DictReader(RunFolder(config.paths.results, config.key).curve.open()))


def loop(config: RunConfig, rates: list[float]) -> nn.Module:
    """The recipe as a plain loop: gradients of the micro-batches averaged, decay on everything, Caffe's momentum."""
    network, batches = build_network(config), training.load_batches(config)
    schedule, micro_batches = config.schedule, config.schedule.batch_size // config.bn_batch
    v = [torch.zeros_like(p) for p in network.parameters()]
    for iteration, rate in enumerate(rates):
        images, labels = batches.train(iteration)
        gradients = [torch.zeros_like(p) for p in network.parameters()]
        for micro_batch in range(micro_batches):
            share = slice(micro_batch * config.bn_batch, (micro_batch + 1) * config.bn_batch)
            network.zero_grad()
            F.cross_entropy(network(images[share]), labels[share]).backward()
            gradients = [g + p.grad / micro_batches for g, p in zip(gradients, network.parameters(), strict=True)]
        with torch.no_grad():
            for index, parameter in enumerate(network.parameters()):
                step = rate * (gradients[index] + schedule.weight_decay * parameter)
                v[index] = schedule.momentum * v[index] + step
                parameter -= schedule.momentum * v[index] + step if schedule.nesterov else v[index]
    return network


@pytest.mark.parametrize(
    ("overrides", "last"),
    [
        (["bn_batch=32"], 0.01),
        (["bn_batch=16"], 0.01),
        (["bn_batch=8"], 0.01),
        (["schedule.nesterov=true"], 0.01),
        (["schedule.decay_factor=2"], 0.05),
    ],
)
def test_training_is_the_recipe_written_as_a_loop(config: Config, overrides: list[str], last: float) -> None:
    """Weights, and running statistics, which follow every micro-batch; with a decay that is large enough to matter."""
    run = config(*overrides, "schedule.weight_decay=0.02")
    expected = loop(run, [0.01, 0.01, 0.1, 0.1, last, last])
    network, _ = train(run)
    network.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(network.state_dict(), expected.state_dict(), rtol=1e-3, atol=1e-4)
    start = build_network(run)
    for (name, ours), theirs in zip(network.named_parameters(), start.parameters(), strict=True):
        assert (ours - theirs).abs().max() > 1e-3, f"{name} was not trained enough for this test"


def test_micro_batches_change_what_batch_norm_sees_and_nothing_else(config: Config) -> None:
    whole, _ = train(config())
    halves, _ = train(config("bn_batch=16"))
    assert any(
        not torch.allclose(a, b, atol=1e-3) for a, b in zip(whole.parameters(), halves.parameters(), strict=True)
    )
    steps = {name: value.item() for name, value in halves.named_buffers() if name.endswith("num_batches_tracked")}
    assert set(steps.values()) == {12}


@pytest.mark.parametrize(
    "overrides",
    [
        ["bn_batch=32"],
        ["bn_batch=8", "shortcut=dropout"],
        ["bn_batch=8", "trainer.micro_batches_per_pass=2"],
        ["bn_batch=16", "trainer.recompute=true"],
    ],
)
def test_averaged_statistics_are_the_mean_over_the_first_micro_batches(config: Config, overrides: list[str]) -> None:
    """The statistics are means over micro-batches under the final weights; the curve's test error uses them."""
    run = config(*overrides, "bn_statistics=averaged", "schedule.iterations=4", "schedule.milestones=[3]")
    network, result = train(run)
    found = {name: value.clone() for name, value in network.named_buffers() if "running" in name}
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    sums = {name: torch.zeros_like(value) for name, value in found.items()}
    for layer in layers.values():
        layer.momentum = 1.0  # the statistics of the last batch
        vars(layer).pop("groups", None)
        layer.forward = nn.BatchNorm2d.forward.__get__(layer)
    batches, count, masks = training.load_batches(run), 32 // run.bn_batch, masks_of(network)
    network.train()
    with torch.no_grad():
        for iteration, micro_batch in product(range(4), range(count)):
            share = slice(micro_batch * run.bn_batch, (micro_batch + 1) * run.bn_batch)
            words = Stream(run.seed, Purpose.MASKS, iteration).words((len(masks), 32)).view("int64")
            for mask, own in zip(masks, words, strict=True):
                mask.numbers = torch.from_numpy(own[share].copy())
            network(batches.train(iteration, micro_batch, count)[0])
            for name, value in network.named_buffers():
                if "running" in name:
                    sums[name] += value
    for name, value in found.items():
        torch.testing.assert_close(value, sums[name] / (4 * count), rtol=1e-4, atol=1e-5, msg=name)
        network.get_buffer(name).copy_(value)
    network.eval()
    with torch.no_grad():
        tested = [(network(images).argmax(1) != labels).sum().item() for images, labels in batches.test()]
    assert result.test_error == pytest.approx(100 * sum(tested) / 360, abs=1e-9)


def test_averaged_statistics_do_not_touch_training(config: Config) -> None:
    moving, averaged = config("shortcut=dropout"), config("shortcut=dropout", "bn_statistics=averaged")
    training.train_run(moving)
    training.train_run(averaged)
    columns = ("iteration", "learning_rate", "train_loss", "train_error")
    trained = [[[row[c] for c in columns] for row in curve(run)] for run in (averaged, moving)]
    assert trained[0] == trained[1]
    assert curve(averaged)[-1]["test_loss"] != curve(moving)[-1]["test_loss"]


FROZEN = ("schedule.learning_rate=1e-12", "schedule.warmup_learning_rate=1e-12")


@pytest.mark.parametrize("bn_batch", [32, 16])
def test_the_logged_training_loss_and_error(config: Config, bn_batch: int) -> None:
    """The mean over the iterations since the row before, without weight decay; with constant weights."""
    run = config(
        *FROZEN,
        "schedule.iterations=7",
        "schedule.log_every=3",
        "schedule.evaluate_every=4",
        "schedule.weight_decay=0.9",
        f"bn_batch={bn_batch}",
    )
    training.train_run(run)
    network, batches = build_network(run), training.load_batches(run)
    losses, errors = [], []
    for iteration in range(7):
        images, labels = batches.train(iteration)
        logits = torch.cat([network(part) for part in images.split(bn_batch)])
        losses.append(F.cross_entropy(logits, labels).item())
        errors.append(100 * (logits.argmax(1) != labels).float().mean().item())
    rows = curve(run)
    ends = [int(row["iteration"]) for row in rows]
    assert ends == [3, 4, 6, 7]
    for row, (start, end) in zip(rows, pairwise([0, *ends]), strict=True):
        assert float(row["train_loss"]) == pytest.approx(sum(losses[start:end]) / (end - start), rel=1e-4)
        assert float(row["train_error"]) == pytest.approx(sum(errors[start:end]) / (end - start), rel=1e-4)


def test_the_test_error_counts_each_image_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """360 images in chunks of 100: a mean of the chunks' means would count the last 60 images too much."""
    in_order = ArrayBatches.test
    run = config("schedule.iterations=12", "schedule.milestones=[10]")
    monkeypatch.setattr(ArrayBatches, "test", lambda self: in_order(self, 100))
    network, result = train(run)
    network.eval()
    images = training.load_batches(run)
    wrong, loss, count = 0, 0.0, 0
    with torch.no_grad():
        for image, label in in_order(images, 1):
            logits = network(image)
            wrong += int(logits.argmax() != label)
            loss += F.cross_entropy(logits, label).item()
            count += 1
    assert count == 360
    assert result.test_error == pytest.approx(100 * wrong / 360, abs=100 / 360 + 1e-9)
    assert result.test_error * 3.6 == pytest.approx(round(result.test_error * 3.6), abs=1e-9)
    assert result.test_loss == pytest.approx(loss / 360, rel=1e-3)


def test_evaluation_changes_nothing(config: Config) -> None:
    """Neither the running statistics, nor the mode, nor dropout's random numbers."""
    often = config("shortcut=dropout", "schedule.evaluate_every=1", "schedule.log_every=1")
    rarely = config("shortcut=dropout", "schedule.evaluate_every=6", "schedule.log_every=1")
    training.train_run(often)
    training.train_run(rarely)
    columns = ("iteration", "learning_rate", "train_loss", "train_error")
    assert [[row[c] for c in columns] for row in curve(often)] == [[row[c] for c in columns] for row in curve(rarely)]
    assert curve(often)[-1] == curve(rarely)[-1]


@pytest.mark.parametrize(
    ("iterations", "log_every", "evaluate_every", "rows", "evaluated"),
    [
        (6, 2, 4, [2, 4, 6], [4, 6]),
        (5, 2, 3, [2, 3, 4, 5], [3, 5]),
        (3, 100, 100, [3], [3]),
        (4, 3, 2, [2, 3, 4], [2, 4]),
        (1, 1, 1, [1], [1]),
    ],
)
def test_rows_of_the_curve_and_the_final_iteration_is_always_evaluated(
    config: Config, iterations: int, log_every: int, evaluate_every: int, rows: list[int], evaluated: list[int]
) -> None:
    run = config(
        f"schedule.iterations={iterations}",
        f"schedule.log_every={log_every}",
        f"schedule.evaluate_every={evaluate_every}",
    )
    result = training.train_run(run)
    written = curve(run)
    assert [int(row["iteration"]) for row in written] == rows
    assert [int(row["iteration"]) for row in written if row["test_error"]] == evaluated
    assert [bool(row["test_loss"]) for row in written] == [bool(row["test_error"]) for row in written]
    assert result.iterations == iterations
    assert float(written[-1]["test_error"]) == pytest.approx(result.test_error, rel=1e-5)
    assert float(written[-1]["train_loss"]) == pytest.approx(result.train_loss, rel=1e-5)


def names(network: nn.Module, parameters: list[nn.Parameter]) -> set[str]:
    by_id = {id(parameter): name for name, parameter in network.named_parameters()}
    return {by_id[id(parameter)] for parameter in parameters}


def gate_biases(network: nn.Module) -> set[str]:
    return names(network, [gate.bias for gate in network.modules() if isinstance(gate, Gate)])


@pytest.mark.parametrize("batch_norm", ["true", "false"])
@pytest.mark.parametrize("decayed", ["all", "conv_weights"])
@pytest.mark.parametrize("decay_gate_bias", ["true", "false"])
def test_the_parameters_with_weight_decay(config: Config, decayed: str, decay_gate_bias: str, batch_norm: str) -> None:
    network = build_network(
        config(
            "shortcut=exclusive_gating",
            "shortcut.varied_units=all",
            f"shortcut.decay_gate_bias={decay_gate_bias}",
            f"shortcut.batch_norm={batch_norm}",
        )
    )
    everything = dict(network.named_parameters())
    assert len(gate_biases(network)) == 3
    expected = set(everything)
    if decayed == "conv_weights":
        expected = {name for name, parameter in everything.items() if name.endswith("weight") and parameter.ndim > 1}
    if decay_gate_bias == "false":
        expected -= gate_biases(network)
    acted_on, spared = split_by_decay(network, decayed)
    assert names(network, acted_on) == expected
    assert names(network, spared) == set(everything) - expected
    assert len(acted_on) + len(spared) == len(everything)


@pytest.mark.parametrize("decayed", ["all", "conv_weights"])
def test_only_parameters_with_weight_decay_shrink(
    config: Config, monkeypatch: pytest.MonkeyPatch, decayed: str
) -> None:
    """Without gradients, an update is weight decay alone."""
    monkeypatch.setattr(F, "cross_entropy", silent(F.cross_entropy))
    run = config(
        "shortcut=exclusive_gating",
        "shortcut.decay_gate_bias=false",
        f"schedule.weight_decay_on={decayed}",
        "schedule.iterations=1",
        "schedule.warmup_learning_rate=1",
        "schedule.weight_decay=0.5",
    )
    start = dict(build_network(run).named_parameters())
    network, _ = train(run)
    acted_on = names(network, split_by_decay(network, decayed)[0])
    assert acted_on < set(start)
    for name, parameter in network.named_parameters():
        factor = 0.5 if name in acted_on else 1.0
        torch.testing.assert_close(parameter.detach(), factor * start[name].detach(), msg=name)


def silent(cross_entropy: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def without_gradient(logits: Tensor, labels: Tensor, **settings: str) -> Tensor:
        return cross_entropy(0 * logits, labels, **settings)

    return without_gradient
