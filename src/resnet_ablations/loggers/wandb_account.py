"""Can wandb record here: does it know a key, or that it is to record offline? Asked in a process of its own."""

import os

import wandb

HOW = "wandb login, or set WANDB_API_KEY; WANDB_MODE=offline records without one"


def main() -> None:
    """Print what is wrong, if anything is."""
    try:
        settings = wandb.setup(wandb.Settings(silent=True)).settings
        needs_no_key = settings.mode in ("offline", "dryrun", "disabled")
        known = needs_no_key or wandb.login(prompt=False, verify=False)
        wrong = "" if known else f"no API key for {settings.base_url}: {HOW}"
    except (wandb.Error, ValueError) as error:
        wrong = " ".join(str(error).split())
    print(wrong, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
