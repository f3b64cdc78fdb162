"""Print a problem if wandb has no API key and is not offline. `WandbLogger.check` runs this module as a process."""

import os

import wandb
from pydantic import ValidationError

from resnet_ablations.errors import plain_reason

WAYS = "run `wandb login`, or set WANDB_API_KEY; WANDB_MODE=offline needs no key"


def main() -> None:
    """Print the problem, or an empty line if there is none."""
    try:
        settings = wandb.setup(wandb.Settings(silent=True)).settings
        needs_no_key = settings.mode in ("offline", "dryrun", "disabled")
        has_key = needs_no_key or wandb.login(prompt=False, verify=False)
        problem = "" if has_key else f"no API key for {settings.base_url}: {WAYS}"
    except (wandb.Error, ValueError) as error:
        problem = reason(error)
    print(problem, flush=True)
    os._exit(0)


def reason(error: Exception) -> str:
    """Return wandb's error in one line; wandb reads each of its settings from a variable of that name."""
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    return "; ".join(
        f"WANDB_{'_'.join(map(str, e['loc'])).upper()}={e['input']}: {plain_reason(e['msg'])}" for e in error.errors()
    )


if __name__ == "__main__":
    main()
