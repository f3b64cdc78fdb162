"""Functions that ranks run in their own processes."""

import os
from typing import Any

from resnet_ablations.config import validate
from resnet_ablations.errors import UserError
from resnet_ablations.training.ranks import process_group
from resnet_ablations.training.run import train_run
from resnet_ablations.training.stopping import StopRequest


def falls(how: str, stop: StopRequest) -> None:
    """End the second rank in the given way; the first rank waits for it."""
    with process_group(2, gpu=False) as ranks:
        ranks.all_reduce_max(0)
        if not ranks.is_first:
            match how:
                case "killed":
                    os.kill(os.getpid(), 9)
                case "mistaken":
                    raise UserError("image.png: cannot be read")
                case "wrong":
                    raise ValueError("no such thing")
        ranks.all_reduce_max(0)


def train_as(environment: dict[str, str], frozen: dict[str, Any]) -> None:
    """Train as the rank that the environment variables describe."""
    os.environ.update(environment)
    train_run(validate(frozen))
