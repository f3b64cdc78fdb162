"""The caption of a table: its subject, the setting of our runs, and the valid comparisons."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from resnet_ablations.experiments import METRICS
from resnet_ablations.report.frame import FAIL, Sweep
from resnet_ablations.report.labels import MOST_NAMED, baseline_label, counts, held_out_note, share

DATA_NAMES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "fashion_mnist": "Fashion-MNIST",
    "image_net": "ImageNet",
    "generated": "generated images",
}
BRANCHES = {(3, 3): "basic", (1, 3, 1): "bottleneck", (3,): "1 layer"}
"""Names of a unit's branch by its kernel sizes; they tell networks of the same depth apart."""


def caption(sweep: Sweep, has_best: bool) -> str:
    """Return the caption of a sweep's table; `has_best` is true if the table shows our lowest errors in bold."""
    cells, scale, settings = sweep.cells, sweep.plan.scale, sweep.settings
    metrics = list(dict.fromkeys(cells["metric"]))
    shown = f"Shown: {'; '.join(METRICS[metric] for metric in metrics)}. The numbers are"
    numbers = "Errors are" if metrics == ["test_error"] else shown
    seeds = ": median (mean ± sample standard deviation) of the finished seeds" * (len(sweep.plan.seeds) > 1)
    fail = f"; fail = test error above {FAIL:g} %" * prints_fail(sweep)
    generated = settings["data"] == "generated"
    held_out = held_out_note(settings)
    has_paper = bool((cells["printed"].notna() | cells["digitised"].notna()).any())
    is_early, is_smaller = has_paper and scale == "early", has_paper and scale not in ("early", "paper")
    has_baseline = bool((cells["baseline"] != "").any())
    baseline = f"“{baseline_label(sweep.experiment)}” of this table"
    at_the_end = "the paper’s errors are those at the end of training"
    sentences = [
        (True, sweep.experiment.caption),
        (True, f"Ours: {setting(sweep)}."),
        (generated.any(), f"The images{share(generated)} are generated; they are not from ImageNet."),
        *(
            (True, f"Inputs are {crop} × {crop} instead of 224 × 224; the crop of {larger:.0f} replaces that of 320.")
            for crop, larger in ((crop, 320 / 224 * crop) for crop in distinct(settings, "data.crop") if crop != 224)
        ),
        (bool(held_out), held_out),
        (True, f"{numbers} those of the final iteration{seeds}; n = finished/planned runs{fail}."),
        (True, f"Paper: {sweep.experiment.source}."),
        (is_early, f"These runs stop after {counts(iterations(sweep))} iterations; {at_the_end}."),
        (is_early and has_baseline, f"Compare with {baseline}."),
        (is_smaller and has_baseline, f"At this scale compare with {baseline}, not with the paper’s numbers."),
        (is_smaller and not has_baseline, "At this scale no number is comparable with the paper’s numbers."),
        (
            has_best,
            f"Bold: our lowest error in a column{' (one seed)' * (len(sweep.plan.seeds) == 1)}, among cells with one "
            "configuration and all seeds.",
        ),
    ]
    return " ".join(sentence for applies, sentence in sentences if applies)


def prints_fail(sweep: Sweep) -> bool:
    """Return whether the paper's table contains a "fail"."""
    return bool((sweep.cells["printed"] == "fail").any())


def setting(sweep: Sweep) -> str:
    """Return `ResNet-56 on digits, 1,800 iterations of 32, 32-true; scale quick, seed 0`."""
    plan, settings = sweep.plan, sweep.settings
    batches, bn_batches = distinct(settings, "schedule.batch_size"), distinct(settings, "bn_batch")
    over = f" (BN over {_either(bn_batches, 'batches')})" * (bn_batches != batches)
    data = [
        f"a folder of images (fingerprint {print_})" if name == "image_folder" else DATA_NAMES.get(name, name)
        for name, print_ in settings.reindex(columns=["data", "data.fingerprint"]).itertuples(index=False)
    ]
    parts = [
        f"{_networks(settings)} on {_either(data, 'data sets')}",
        f"{counts(iterations(sweep))} iterations of {_either(batches, 'sizes')}{over}",
        _either(distinct(settings, "precision"), "precisions"),
    ]
    seeds = f"seed{'s' * (len(plan.seeds) > 1)} {', '.join(map(str, plan.seeds))}"
    overrides = f", with {' '.join(plan.overrides)}" * bool(plan.overrides)
    return f"{', '.join(parts)}; scale {plan.scale}, {seeds}{overrides}"


def distinct(settings: pd.DataFrame, name: str) -> list[Any]:
    """Return the different values of a setting, without missing ones."""
    return list(settings[name].dropna().unique()) if name in settings else []


def iterations(sweep: Sweep) -> list[int]:
    """Return the different iterations at which the plan's configurations end, in order."""
    return sorted(distinct(sweep.settings, "schedule.iterations"))


def _networks(settings: pd.DataFrame) -> str:
    """Return `ResNet-56`; if networks of the same depth have different units, also the kind of unit."""
    columns = settings.reindex(columns=["network.depth", "network.kernels"]).itertuples(index=False)
    kinds = dict.fromkeys(
        (depth, tuple(kernels) if isinstance(kernels, list) else (3, 3)) for depth, kernels in columns
    )
    depths = [depth for depth, _ in kinds]
    names = [
        f"ResNet-{depth}" + f" ({BRANCHES.get(kernels, '-'.join(map(str, kernels)))})" * (depths.count(depth) > 1)
        for depth, kernels in sorted(kinds, key=lambda kind: depths.index(kind[0]))
    ]
    return _either(names, "networks")


def _either(values: Iterable[object], what: str) -> str:
    texts = list(dict.fromkeys(map(str, values)))
    return "/".join(texts) if len(texts) <= MOST_NAMED else f"{len(texts)} {what}"
