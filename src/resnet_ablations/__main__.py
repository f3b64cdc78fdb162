"""`resnet-ablations COMMAND …`, from any folder; `python -m resnet_ablations` is the same."""

import difflib
import importlib
import sys

from resnet_ablations.output import survive_lost_output
from resnet_ablations.paths import mistaken_checkout

COMMANDS = {
    "train": ("train", "train one run"),
    "sweep": ("train", "train the missing runs of a table, then print the table"),
    "plan": ("plan", "list the runs of a sweep and what they cost"),
    "status": ("status", "list every run: outcome, progress, speed, time left"),
    "report": ("report.__main__", "make all tables, figures and the page from the results"),
    "publish": ("publish", "copy finished runs, text only, to results/reference; renew its report and the README"),
    "networks": ("networks", "list every network of both papers: parameters, multiply-adds, memory"),
    "evaluate": ("evaluate", "test finished runs again from the weights that they have kept"),
    "lesions": (
        "lesions",
        "delete and shuffle units of trained networks; measure the error, and gradients by path",
    ),
    "clean": ("clean", "remove runs, after asking"),
    "wandb-sync": ("wandb_sync", "send runs to a wandb server; runs that are complete there are left alone"),
}
"""The module and the summary of each command."""
_SUMMARIES = "\n".join(f"  {name:<12}{summary}" for name, (_, summary) in COMMANDS.items())
USAGE = f"""usage: resnet-ablations COMMAND …

Reproduce the ablation studies of the residual network papers.

{_SUMMARIES}

Start here, 10 to 20 minutes on two cores: resnet-ablations sweep shortcuts
Arguments and an example of a command:      resnet-ablations COMMAND --help
Results are in ./results; another folder:   RESNET_ABLATIONS_RESULTS=FOLDER
"""
SWEEP_USAGE = """usage: resnet-ablations sweep EXPERIMENT [scale=SCALE] [rows=ROW,…] [columns=COLUMN,…] [KEY=VALUE …]
       resnet-ablations sweep KEY=VALUE,VALUE …

Train the missing runs of a table or figure of the papers, then print and write its table and figures. Without
EXPERIMENT, train every combination of the values.

  EXPERIMENT  {experiments}
  scale       quick (default), small, early, paper
  seed        the seeds, for example seed=0,1
  KEY=VALUE   any other setting of resnet-ablations train, or of the launcher: hydra/launcher=slurm

examples:
  resnet-ablations sweep shortcuts
  resnet-ablations sweep shortcuts scale=paper seed=0,1 rows=original,dropout hydra/launcher=slurm
  resnet-ablations sweep shortcut=identity,dropout seed=0,1
"""


def main() -> int | None:
    """Run the command of `sys.argv`; return its exit code."""
    survive_lost_output()
    command, *arguments = sys.argv[1:] or ["--help"]
    asks_for_help = bool({"-h", "--help"} & set(arguments))
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        allowed = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(COMMANDS)}"
        print(f"error: {command}: no such command; {allowed}", file=sys.stderr)
        return 2
    if not asks_for_help and (mistake := mistaken_checkout()):
        print(f"error: {mistake}", file=sys.stderr)
        return 2
    if command == "sweep" and (asks_for_help or not arguments):
        from resnet_ablations.experiments import experiment_names  # pandas

        print(SWEEP_USAGE.format(experiments=", ".join(experiment_names())), end="")
        return 0 if asks_for_help else 2
    if command in ("sweep", "plan"):
        arguments = [a if "=" in a or a.startswith(("-", "~")) else f"experiment={a}" for a in arguments]
    multirun = ["-m"] if command == "sweep" else []
    sys.argv = [f"resnet-ablations {command}", *multirun, *arguments]
    try:
        return importlib.import_module(f"resnet_ablations.{COMMANDS[command][0]}").main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
