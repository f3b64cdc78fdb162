"""Further measurements of a finished network: its layers' responses, top-5 error, several crops per image."""

import csv
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig
from resnet_ablations.data.batches import Crops, Share
from resnet_ablations.experiments import METRICS
from resnet_ablations.results.run_folder import Result, RunFolder
from resnet_ablations.training import run as training

Config = Callable[..., RunConfig]
Protocols = dict[str, Callable[[], Crops]]


def train(config: RunConfig, protocols: Protocols | None = None, *, top5: bool = False) -> tuple[nn.Module, Result]:
    """Train a run whose data set has these further tests; return also its network, in evaluation mode."""
    network, load = build_network(config), training.load_batches

    def loading(config: RunConfig, share: Share, stopped: Callable[[], bool]) -> object:
        batches = load(config, share, stopped)
        vars(batches).update(top5=top5, protocols=lambda: protocols or {})
        return batches

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "build_network", lambda _: network)
        patch.setattr(training, "load_batches", loading)
        result = training.train_run(config)
    return network.eval(), result


def whole_test_set(config: RunConfig) -> tuple[Tensor, Tensor]:
    """Return the whole test set as one batch."""
    images, labels = zip(*training.load_batches(config).test(), strict=True)
    return torch.cat(images), torch.cat(labels)


def test_the_responses_of_the_finished_network(config: Config) -> None:
    """Responses to the whole test set with running statistics: outputs of all BNs, each after a 3×3 convolution."""
    run = config("schedule.iterations=12", "schedule.milestones=[10]")
    network, result = train(run)
    stored: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda module, inputs, output: stored.append(output.double().clone()))
    with torch.no_grad():
        network(whole_test_set(run)[0])
    deviations = torch.stack([output.std(correction=0) for output in stored])
    rows = list(csv.DictReader(RunFolder(run.paths.results, run.key).responses.open()))
    assert [row["layer"] for row in rows] == [str(layer) for layer in range(1, 8)]
    assert [row["name"] for row in rows][:3] == ["stem.0", "units.0.branch.0", "units.0.branch.3"]
    assert [float(row["std"]) for row in rows] == pytest.approx(deviations.tolist(), rel=1e-4)
    assert result.metrics == pytest.approx(
        {
            "response_mean": deviations.mean().item(),
            "response_median": deviations.median().item(),
            "response_max": deviations.max().item(),
        },
        rel=1e-4,
    )
    assert RunFolder(run.paths.results, run.key).result() == result


def test_top5(config: Config) -> None:
    run = config()
    network, result = train(run, top5=True)
    images, labels = whole_test_set(run)
    with torch.no_grad():
        logits = network(images)
    wrong = sum(bool((row > row[label]).sum() >= 5) for row, label in zip(logits, labels, strict=True))
    assert 0 < wrong < len(labels)
    assert result.metrics["top5_error"] == pytest.approx(100 * wrong / len(labels), abs=0.3)
    assert result.metrics["top5_error"] < result.test_error


def test_crops_are_averaged_after_the_softmax(config: Config) -> None:
    """Each image counts once in batches of different sizes; one crop of the whole image is the usual test."""
    run = config("schedule.iterations=12", "schedule.milestones=[10]")
    images, labels = whole_test_set(run)
    several = torch.stack([images, 9 * images.flip(3), images.roll(3, dims=2)], dim=1)

    def crops(*of: Tensor) -> Crops:
        chunks = [list(group) for group in zip(*(images.split(100) for images in of), strict=True)]
        yield from zip(chunks, labels.split(100), strict=True)

    larger = torch.nn.functional.interpolate(images, scale_factor=2)[:, None]
    ways: Protocols = {
        "crop320": lambda: crops(images[:, None]),
        "crops10": lambda: crops(several),
        "multi_scale": lambda: crops(several, larger),
    }
    network, result = train(run, ways, top5=True)
    with torch.no_grad():
        scores = sum(network(several[:, crop]).softmax(1) for crop in range(3))
    missed = 100 * (scores.argmax(1) != labels).float().mean().item()
    assert result.metrics["crops10_error"] == pytest.approx(missed, abs=0.3)
    assert abs(missed - result.test_error) > 1, "else this test could not fail"
    five = scores.topk(5).indices
    outside = 100 * (five != labels[:, None]).all(1).float().mean().item()
    assert result.metrics["crops10_top5_error"] == pytest.approx(outside, abs=0.3)
    assert result.metrics["crop320_error"] == pytest.approx(result.test_error, abs=1e-4)
    assert result.metrics["crop320_top5_error"] == result.metrics["top5_error"]
    with torch.no_grad():
        scores = scores + network(larger[:, 0]).softmax(1)
    missed = 100 * (scores.argmax(1) != labels).float().mean().item()
    assert result.metrics["multi_scale_error"] == pytest.approx(missed, abs=0.3)
    assert set(result.metrics) <= set(METRICS)


def test_default_metrics_are_only_the_responses(config: Config) -> None:
    _, result = train(config())
    assert set(result.metrics) == {"response_mean", "response_median", "response_max"}


@pytest.mark.parametrize("kernels", ["[5,5]", "[5]"])
def test_a_network_without_3x3_convolutions_finishes_too(config: Config, kernels: str) -> None:
    run = config(f"network.kernels={kernels}", "network.stem.kernel=5", "network.depth=8")
    _, result = train(run)
    assert (result.outcome, result.metrics) == ("finished", {})
    assert not RunFolder(run.paths.results, run.key).responses.exists()
