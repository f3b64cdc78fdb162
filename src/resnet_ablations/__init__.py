"""Reproduce the ablation studies of the residual network papers (He et al., 2015 and 2016).

import resnet_ablations as ra
config = ra.compose(["network=resnet110", "shortcut=exclusive_gating", "shortcut.gate_bias=-6"])
network = ra.build_network(config)
runs = ra.load_results("results")
trained = ra.load_network(runs["path"][0])
curves = ra.load_curves("results")
responses = ra.load_responses("results")
signals = ra.load_signals("results")
lesions = ra.load_lesions("results")
gradients = ra.load_path_gradients("results")
cells = ra.load_cells("results")
paper = ra.load_paper("shortcuts")
module, images = ra.lightning_module(config), ra.datamodule(config)  # for a pl.Trainer
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_ablations.build import build_network
    from resnet_ablations.errors import UserError
    from resnet_ablations.experiments import load_paper
    from resnet_ablations.overrides import compose
    from resnet_ablations.report.frame import load_cells
    from resnet_ablations.results.frames import (
        load_curves,
        load_lesions,
        load_path_gradients,
        load_responses,
        load_results,
        load_signals,
    )
    from resnet_ablations.training.data_module import datamodule
    from resnet_ablations.training.module import lightning_module
    from resnet_ablations.training.weights import load_network

__all__ = [
    "UserError",
    "build_network",
    "compose",
    "datamodule",
    "lightning_module",
    "load_cells",
    "load_curves",
    "load_lesions",
    "load_network",
    "load_paper",
    "load_path_gradients",
    "load_responses",
    "load_results",
    "load_signals",
]

_HOMES = {
    "UserError": "errors",
    "build_network": "build",
    "compose": "overrides",
    "datamodule": "training.data_module",
    "lightning_module": "training.module",
    "load_cells": "report.frame",
    "load_curves": "results.frames",
    "load_lesions": "results.frames",
    "load_network": "training.weights",
    "load_paper": "experiments",
    "load_path_gradients": "results.frames",
    "load_responses": "results.frames",
    "load_results": "results.frames",
    "load_signals": "results.frames",
}


def __getattr__(name: str) -> Any:
    """Import the name on its first use, so that reading results imports no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})
