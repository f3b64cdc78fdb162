"""Train one run, or with -m a sweep of them: see conf/train.yaml."""

import logging
import sys

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig

from resnet_ablations.overrides import CONF, checked, compose
from resnet_ablations.errors import UserError, exit_on_user_error
from resnet_ablations.sweep.plan import plan
from resnet_ablations.training.run import Interrupted, summary, train_run


@hydra.main(config_path=str(CONF), config_name="train", version_base="1.3")
def _train(config: DictConfig) -> float | None:
    """Hydra's task: one run; its value is the test error."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("resnet_ablations").setLevel(logging.INFO)
    run = checked(config)
    try:
        result = train_run(run)
    except Interrupted:
        raise SystemExit(130) from None
    print(summary(result))
    return result.test_error


def main() -> None:
    """Check the whole command line before Hydra sees it, for Hydra names one mistake at a time."""
    arguments = get_args_parser().parse_args()
    with exit_on_user_error():
        if arguments.multirun:
            plan(tuple(arguments.overrides))
        elif not (arguments.help or arguments.hydra_help or arguments.cfg or arguments.info):
            if any(override.startswith("experiment=") for override in arguments.overrides):
                raise UserError("experiment=… is a sweep: add -m")
            compose(arguments.overrides)
    _train()


if __name__ == "__main__":
    main()
