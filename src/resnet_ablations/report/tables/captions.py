"""The caption of a table: what it shows, in which setting, and what may be compared with what."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.frame import FAIL, Sweep
from resnet_ablations.report.labels import baseline_label
from resnet_ablations.report.tables.summary import best_cells
from resnet_ablations.results.keys import class_label
from resnet_ablations.results.sweeps import PlannedConfiguration, SweepPlan

DATA_NAMES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "fashion_mnist": "Fashion-MNIST",
    "image_net": "ImageNet",
    "generated": "generated images",
}
BRANCHES = {(3, 3): "basic", (1, 3, 1): "bottleneck", (3,): "1 layer"}
"""Names of a unit's branch by its kernel sizes; they tell networks of the same depth apart."""
MOST_NAMED = 4
"""Up to so many settings of one kind are named; more are counted."""


def caption(sweep: Sweep, summarised: pd.DataFrame) -> str:
    """Return the caption of a sweep's table."""
    fail = f"; fail = test error above {FAIL:g} %" if _prints_fail(sweep) else ""
    sentences = [
        sweep.experiment.caption,
        f"Ours: {setting(sweep.plan)}.",
        *_images(sweep.plan),
        f"{_numbers(sweep)}; n = finished/planned runs{fail}. Paper: {sweep.experiment.source}.",
    ]
    if (sweep.cells["printed"].notna() | sweep.cells["digitised"].notna()).any():
        sentences += _comparable(sweep)
    if best_cells(sweep, summarised, uses_fail(sweep)):
        sentences.append("Bold: our lowest error in a column, among cells with one configuration and all seeds.")
    return " ".join(sentences)


def uses_fail(sweep: Sweep) -> bool:
    """Return whether our own errors above 20 % are called "fail": at the paper's scale, where the paper does so."""
    return sweep.plan.scale == "paper" and _prints_fail(sweep)


def distinct(configurations: Iterable[PlannedConfiguration], *keys: str) -> list[Any]:
    """Return the different values of the setting `KEYS[0].KEYS[1]…`."""
    values: list[Any] = []
    for configuration in configurations:
        value: Any = configuration.config
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and value not in values:
            values.append(value)
    return values


def setting(plan: SweepPlan) -> str:
    """Return `ResNet-56 on digits, 1,800 iterations of 32, 32-true; scale quick, seed 0`."""
    planned = plan.configurations.values()
    batches, bn_batches = distinct(planned, "schedule", "batch_size"), distinct(planned, "bn_batch")
    over = f" (BN over {_either(bn_batches, 'batches')})" if bn_batches and bn_batches != batches else ""
    data = [_data_name(source) for source in distinct(planned, "data")]
    parts = [
        f"{_networks(plan) or 'network unknown'} on {_either(data, 'data sets') or 'unknown data'}",
        f"{counts(iterations(plan))} iterations of {_either(batches, 'sizes') or 'unknown batch'}{over}",
        _either(distinct(planned, "precision"), "precisions"),
    ]
    seeds = ("seed " if len(plan.seeds) == 1 else "seeds ") + ", ".join(map(str, plan.seeds))
    overrides = f", with {' '.join(plan.overrides)}" if plan.overrides else ""
    return f"{', '.join(filter(None, parts))}; scale {plan.scale}, {seeds}{overrides}"


def iterations(plan: SweepPlan) -> list[int]:
    """Return the different iterations at which the plan's configurations end, in order."""
    return sorted({planned.iterations for planned in plan.configurations.values()})


def counts(numbers: Sequence[int]) -> str:
    """Return `1,800`, `1,800/2,000`, or the range of many."""
    texts = [f"{number:,}" for number in numbers]
    return "/".join(texts) if len(texts) <= MOST_NAMED else f"{texts[0]}–{texts[-1]}"


def _prints_fail(sweep: Sweep) -> bool:
    return bool((sweep.cells["printed"] == "fail").any())


def _comparable(sweep: Sweep) -> list[str]:
    """Return what our numbers may be compared with, away from the paper's setting."""
    has_baseline = bool((sweep.cells["baseline"] != "").any())
    baseline = f"“{baseline_label(sweep.experiment)}” of this table" if has_baseline else ""
    if sweep.plan.scale == "paper":
        return []
    if sweep.plan.scale == "early":
        end = f"These runs stop after {counts(iterations(sweep.plan))} iterations"
        instead = f" Compare with {baseline}." if baseline else ""
        return [f"{end}; the paper’s errors are those at the end of training.{instead}"]
    if not baseline:
        return ["At this scale no number is comparable with the paper’s numbers."]
    return [f"At this scale compare with {baseline}, not with the paper’s numbers."]


def _networks(plan: SweepPlan) -> str:
    networks = distinct(plan.configurations.values(), "network")
    kinds = dict.fromkeys((network["depth"], tuple(network.get("kernels") or (3, 3))) for network in networks)
    depths = [depth for depth, _ in kinds]
    names = [
        f"ResNet-{depth}" + f" ({BRANCHES.get(kernels, '-'.join(map(str, kernels)))})" * (depths.count(depth) > 1)
        for depth, kernels in sorted(kinds, key=lambda kind: depths.index(kind[0]))
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


def _images(plan: SweepPlan) -> list[str]:
    """Return what is special about the images that the networks were trained and tested on."""
    sentences = []
    planned = plan.configurations.values()
    generated = _share(plan, lambda data: class_label(str(data.get("_target_"))) == "generated")
    if generated is not None:
        sentences.append(f"The images{generated} are generated, they are not ImageNet’s.")
    for crop in distinct(planned, "data", "crop"):
        if crop != 224:
            larger = round(320 / 224 * crop)
            sentences.append(
                f"Inputs are {crop} × {crop} instead of 224 × 224; a crop of {larger} stands for one of 320."
            )
    held_out = _share(plan, lambda data: bool(data.get("held_out")))
    if held_out is not None:
        sizes = [size for size in distinct(planned, "data", "held_out") if size]
        sentences.append(
            f"The test error{held_out} is measured on {counts(sizes)} held-out training images, not on the test set."
        )
    return sentences


def _share(plan: SweepPlan, applies: Callable[[dict[str, Any]], bool]) -> str | None:
    """Return None where it applies to no configuration, "" where to all, otherwise ` of 1 of 2 configurations`."""
    of = len(plan.configurations)
    count = sum(applies(planned.config["data"]) for planned in plan.configurations.values())
    if not count:
        return None
    return "" if count == of else f" of {count} of {of} configurations"


def _numbers(sweep: Sweep) -> str:
    """Return which numbers of a run the table shows, and which statistics over seeds."""
    metrics = list(dict.fromkeys(sweep.cells["metric"]))
    seeds = ": median (mean ± sample standard deviation) of the finished seeds" if len(sweep.plan.seeds) > 1 else ""
    if metrics == ["test_error"]:
        return f"Errors are those of the final iteration{seeds}"
    shown = "; ".join(METRICS[metric] for metric in metrics)
    return f"Shown: {shown}. The numbers are those of the final iteration{seeds}"
