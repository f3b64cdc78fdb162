"""The final weights of a finished run: kept in its folder, and loaded again."""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnet_ablations.build import build_network
from resnet_ablations.config import RunConfig, frozen_tree, unfit, validate
from resnet_ablations.errors import UserError, first_line, reason_of
from resnet_ablations.paths import with_home
from resnet_ablations.results.run_folder import Result, RunFolder

MOST_BYTES = 25_000_000
"""The size up to which weights are kept if `trainer.keep_weights` is null."""


def keeps_weights(setting: bool | None, network: nn.Module) -> bool:
    """Return whether a finished run keeps the network's weights and running statistics, by `trainer.keep_weights`."""
    if setting is not None:
        return setting
    return sum(tensor.nbytes for tensor in network.state_dict().values()) <= MOST_BYTES


def weights_digest(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights and running statistics."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def weights_file(network: nn.Module) -> bytes:
    """Return the network's weights and running statistics as a file: a `state_dict` of contiguous CPU tensors."""
    buffer = io.BytesIO()
    torch.save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}, buffer)
    return buffer.getvalue()


def loaded(content: bytes) -> Any:
    """Return what `torch.save` wrote, without executing any of it; raise `ValueError` if the file is damaged."""
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch follows the bytes of a damaged file, and any kind of error may end that
        raise ValueError(first_line(error)) from None


def load_network(run: str | Path) -> nn.Module:
    """Return the trained network of a run, in evaluation mode; `run` is the run's folder, `results/runs/KEY`.

    Its running statistics are those of the final evaluation. Nothing in the file is executed. Raise `UserError` if the
    run is not finished, has no weights, or has weights of another run.
    """
    try:
        path = Path(with_home(str(run))).absolute()
    except ValueError as error:
        raise UserError(f"{run}: {error}") from None
    if path.parent.name != "runs":
        raise UserError(f"{run}: not the folder of a run; name results/runs/KEY")
    return load_trained(RunFolder(path.parents[1], path.name))[2]


def load_trained(folder: RunFolder) -> tuple[RunConfig, Result, nn.Module]:
    """Return a run's configuration, result and trained network; `load_network` says what is refused."""
    if damage := folder.damage():
        raise UserError(f"{folder.path}: its result does not count: {damage}; train the run again")
    result = folder.result()
    if result is None or result.outcome != "finished":
        raise UserError(f"{folder.path}: no finished run; resnet-ablations status lists the runs")
    try:
        content = folder.weights.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{folder.path}: its weights were not kept; remove the run (resnet-ablations clean {folder.key}) and train "
            "it again with trainer.keep_weights=true"
        ) from None
    except OSError as error:
        raise UserError(f"{folder.weights}: cannot be read: {reason_of(error)}") from None
    config = _configuration(folder)
    network = build_network(config)
    try:
        network.load_state_dict(loaded(content))
        if weights_digest(network) != result.weights:
            raise ValueError("result.json has the digest of other weights")
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"{folder.weights}: not the weights of this run ({first_line(error)}); remove the run and train it again"
        ) from None
    return config, result, network.eval()


def _configuration(folder: RunFolder) -> RunConfig:
    """Return the run's configuration, with the results folder in which the run lies now."""
    tree = frozen_tree(folder.config)
    try:
        config = validate(tree, identify_data=False)
    except UserError as error:
        raise UserError(unfit(folder.config, error.messages, "train the run again")) from None
    if config.key != folder.key:
        raise UserError(f"{folder.config}: the configuration of {config.key}, not of this run; train the run again")
    return config
