"""What a table shows and in which setting, as its caption says it."""

from collections.abc import Callable, Sequence
from typing import Any

from resnet_ablations.experiments import METRICS, Experiment
from resnet_ablations.report.cells.cell import FAIL, Cell, has_number
from resnet_ablations.report.cells.labels import baseline_label
from resnet_ablations.report.cells.plans import distinct, iterations
from resnet_ablations.report.tables.best import best_cells
from resnet_ablations.results.keys import class_label
from resnet_ablations.results.sweeps import SweepPlan

DATA_NAMES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "fashion_mnist": "Fashion-MNIST",
    "image_net": "ImageNet",
    "generated": "generated images",
}
BRANCHES = {(3, 3): "basic", (1, 3, 1): "bottleneck", (3,): "1 layer"}
"""What tells networks of one depth apart, by the sizes of a unit's convolutions."""
MOST_NAMED = 4
"""Settings of one kind that are named; more are counted."""


def caption(plan: SweepPlan, experiment: Experiment, cells: Sequence[Cell]) -> str:
    """What the table shows, in which setting, and what may be compared with what."""
    fail = f"; fail = test error above {FAIL:g} %" if prints_fail(cells) else ""
    sentences = [
        experiment.caption,
        f"Ours: {setting(plan)}.",
        *_images(plan),
        f"{_numbers(plan, cells)}; n = finished/planned runs{fail}. Paper: {experiment.source}.",
    ]
    if any(has_number(cell.paper) for cell in cells):
        sentences += _comparable(plan, experiment, cells)
    if best_cells(plan, cells, says_fail(plan, cells)):
        sentences.append("Bold: our lowest error of a column, among rows of one configuration with all seeds finished.")
    return " ".join(sentences)


def _comparable(plan: SweepPlan, experiment: Experiment, cells: Sequence[Cell]) -> list[str]:
    """What may stand beside what, away from the paper's setting."""
    baseline = next((label for cell in cells if (label := baseline_label(cell, experiment))), None)
    instead = f"compare with “{baseline}” of this table" if baseline else ""
    if plan.scale == "early":
        end = f"Stopped after {_counts(iterations(plan))} iterations"
        paper = "while the paper’s errors are those at the end of training"
        return [f"{end}, {paper}{instead and f': {instead}'}."]
    if plan.scale == "paper":
        return []
    if not baseline:
        return ["At this scale nothing compares with the paper’s numbers."]
    return [f"At this scale {instead}, not with the paper’s numbers."]


def prints_fail(cells: Sequence[Cell]) -> bool:
    """Whether the paper uses its word "fail" in this table."""
    return any(cell.paper.printed == "fail" for cell in cells)


def says_fail(plan: SweepPlan, cells: Sequence[Cell]) -> bool:
    """Whether our own numbers are called so: at the paper's scale, where the paper does it."""
    return plan.scale == "paper" and prints_fail(cells)


def setting(plan: SweepPlan) -> str:
    """`ResNet-56 on digits, 1,800 iterations of 32, 32-true; scale quick, seed 0`, from the plan's configurations."""
    batches = distinct(plan, "schedule", "batch_size")
    bn_batches = distinct(plan, "bn_batch")
    over = f" (BN over {_either(bn_batches, 'batches')})" if bn_batches and bn_batches != batches else ""
    data = [_data_name(source) for source in distinct(plan, "data")]
    parts = [
        f"{_networks(plan) or 'network unknown'} on {_either(data, 'data sets') or 'unknown data'}",
        f"{_counts(iterations(plan))} iterations of {_either(batches, 'sizes') or 'unknown batch'}{over}",
        _either(distinct(plan, "precision"), "precisions"),
    ]
    seeds = ("seed " if len(plan.seeds) == 1 else "seeds ") + ", ".join(map(str, plan.seeds))
    overrides = f", with {' '.join(plan.overrides)}" if plan.overrides else ""
    return f"{', '.join(filter(None, parts))}; scale {plan.scale}, {seeds}{overrides}"


def _networks(plan: SweepPlan) -> str:
    branches: dict[int, list[str]] = {}
    for network in distinct(plan, "network"):
        kernels = tuple(network.get("kernels") or (3, 3))
        of_depth = branches.setdefault(network["depth"], [])
        if (branch := BRANCHES.get(kernels, "-".join(map(str, kernels)))) not in of_depth:
            of_depth.append(branch)
    names = [
        f"ResNet-{depth} ({branch})" if len(alike) > 1 else f"ResNet-{depth}"
        for depth, alike in branches.items()
        for branch in alike
    ]
    return _either(names, "networks")


def _data_name(source: dict[str, Any]) -> str:
    label = class_label(str(source.get("_target_")))
    if label == "image_folder":
        return f"a folder of images (fingerprint {source.get('fingerprint')})"
    return DATA_NAMES.get(label, label)


def _either(values: Sequence[object], what: str) -> str:
    texts = list(dict.fromkeys(map(str, values)))
    return "/".join(texts) if len(texts) <= MOST_NAMED else f"{len(texts)} {what}"


def _counts(numbers: Sequence[int]) -> str:
    """`1,800`, `1,800/2,000`, or the range of many."""
    texts = [f"{number:,}" for number in numbers]
    return "/".join(texts) if len(texts) <= MOST_NAMED else f"{texts[0]}–{texts[-1]}"


def _images(plan: SweepPlan) -> list[str]:
    """What the reader must know of the images that the networks were trained and tested on."""
    sentences = []
    generated = _share(plan, lambda data: class_label(str(data.get("_target_"))) == "generated")
    if generated is not None:
        sentences.append(f"The images{generated} are generated images, not ImageNet.")
    for crop in distinct(plan, "data", "crop"):
        if crop != 224:
            larger = round(320 / 224 * crop)
            sentences.append(f"Inputs are {crop} × {crop} in place of 224 × 224; a crop of 320 is one of {larger}.")
    held_out = _share(plan, lambda data: bool(data.get("held_out")))
    if held_out is not None:
        sizes = [size for size in distinct(plan, "data", "held_out") if size]
        sentences.append(
            f"The test error{held_out} is that on {_counts(sizes)} training images held out, not on the test set."
        )
    return sentences


def _share(plan: SweepPlan, applies: Callable[[dict[str, Any]], bool]) -> str | None:
    """None where it applies to no configuration's data; otherwise nothing, or to how many if not to all."""
    of = len(plan.configurations)
    count = sum(applies(planned.config["data"]) for planned in plan.configurations.values())
    if not count:
        return None
    return "" if count == of else f" of {count} of {of} configurations"


def _numbers(plan: SweepPlan, cells: Sequence[Cell]) -> str:
    """Which numbers of a run are shown, and what over its seeds."""
    metrics = list(dict.fromkeys(cell.metric for cell in cells))
    over_seeds = ": median (mean ± sample standard deviation) of the finished seeds" if len(plan.seeds) > 1 else ""
    if metrics == ["test_error"]:
        return f"The error is the final iteration’s{over_seeds}"
    shown = "; ".join(METRICS[metric] for metric in metrics)
    return f"Shown: {shown}. The numbers are the final iteration’s{over_seeds}"
