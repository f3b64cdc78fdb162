"""Send runs to wandb's server from their folders: the named runs, or all that were trained with logger=wandb."""

import os
import sys
from pathlib import Path

from resnet_ablations.errors import UserError, exit_on_user_error
from resnet_ablations.loggers.wandb import WandbLogger
from resnet_ablations.loggers.wandb_uploads import upload
from resnet_ablations.results.results_folder import readable, runs_parser
from resnet_ablations.results.run_folder import RunFolder, folders_named, run_folders


def main() -> None:
    """Upload the runs that the server lacks."""
    arguments = runs_parser("wandb-sync", __doc__, "resnet56-dropout-*", may_be_empty=True).parse_args()
    try:
        with exit_on_user_error():
            results = readable(arguments.results)
            upload(folders_named(results, arguments.runs) if arguments.runs else _mirrored(results))
        code = 0
    except KeyboardInterrupt:
        code = 130
    except SystemExit as end:
        code = int(end.code or 0)
    sys.stdout.flush()
    # Skip wandb's exit handlers, which may wait for its server.
    os._exit(code)


def _mirrored(results: Path) -> list[RunFolder]:
    """Return the runs that were trained with logger=wandb; raise `UserError` if there are none."""
    folders = [folder for folder in run_folders(results) if folder.config.exists()]
    mirrored = [folder for folder in folders if WandbLogger.__name__.encode() in folder.config.read_bytes()]
    if not mirrored:
        raise UserError(
            f"{results}: no run was trained with logger=wandb; name the runs to send: resnet-ablations wandb-sync RUN"
        )
    return mirrored


if __name__ == "__main__":
    main()
