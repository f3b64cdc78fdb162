"""Train one run, or with -m a sweep of them: see conf/train.yaml."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from resnet_ablations.composition import ONE_CONF, forced, group_options, parse, refusal
from resnet_ablations.config import identifying_data_once
from resnet_ablations.console import standard_console
from resnet_ablations.errors import UserError, exit_on_user_error, first_line
from resnet_ablations.output import survive_lost_output
from resnet_ablations.overrides import check_options, check_repeated, compose
from resnet_ablations.paths import CONF
from resnet_ablations.results.atomic_write import reporting_full_disk
from resnet_ablations.results.locks import RunLocked, RunLost
from resnet_ablations.results.results_folder import writable
from resnet_ablations.results.states import state_of
from resnet_ablations.sweep.planning import Plan, plan
from resnet_ablations.sweep.squeue import remove_stale_locks
from resnet_ablations.training.stopping import Interrupted

USAGE = """usage: resnet-ablations train [GROUP=OPTION …] [KEY=VALUE …]

Train one run, or continue it from its checkpoint; with -m, a sweep.

groups:
{groups}

settings, with their values:
  resnet-ablations train --cfg job

examples:
  resnet-ablations train network=resnet110 shortcut=dropout seed=1
  resnet-ablations train frozen=results/runs/KEY/config.yaml
"""


@hydra.main(config_path=str(CONF), config_name="train", version_base="1.3")
def _train(config: DictConfig) -> float | None:
    """Train one run; return its test error. This is Hydra's task function."""
    from resnet_ablations.training.ranks import RankFailed
    from resnet_ablations.training.run import train_run  # imports Lightning, which takes seconds

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    with exit_on_user_error():
        try:
            run = compose(HydraConfig.get().overrides.task)
            if run.folder.result() is None:
                run.logger.build().check()
                writable(run.paths.results)
                remove_stale_locks([run.folder])
            result = train_run(run)
        except RankFailed as error:
            print(f"{run.key}: failed: {str(error).splitlines()[0]}; see {run.folder.log}")
            raise SystemExit(1) from None
        except RunLost as lost:
            print(f"{run.key}: {lost}")
            raise SystemExit(1) from None
        except RunLocked as locked:
            print(f"{run.key}: {locked}; this command does nothing")
            raise SystemExit(1) from None
        except Interrupted as end:
            if (result := run.folder.result()) is not None:  # the signal came after the last step
                print(result.summary())
                raise SystemExit(128 + end.signal) from None
            state = state_of(run.folder)
            print(f"{run.key}: interrupted after step {state.iteration}; the same command continues from there")
            raise SystemExit(128 + end.signal) from None
    if result is None:  # only rank 0 returns the result
        return None
    print(result.summary())
    return result.test_error


def _sweep(overrides: list[str]) -> None:
    """Run Hydra's multirun; for an experiment, make the report when it ends."""
    if os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        raise UserError("-m under torchrun: every process would start the sweep; run it without torchrun")
    check_options(overrides)
    planned = plan(overrides)
    # The default action would leave the processes of the runs behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        _train()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except SystemExit as end:
        if end.code == 1:
            _report(planned)
        raise
    _report(planned)


def _report(planned: Plan) -> None:
    from resnet_ablations.report.write_report import write_report  # pandas and matplotlib

    results = Path(planned.jobs[0].config.paths.results)
    if planned.record is not None:
        with reporting_full_disk(results):
            write_report(results, planned.record.name, standard_console())


def _check_hydra_options(arguments: argparse.Namespace) -> None:
    """Raise `UserError` for options of Hydra that would not do here what they do elsewhere."""
    given = {f"--{name.replace('_', '-')}": value for name, value in vars(arguments).items() if value}
    if len(modes := [option for option in given if option in MODES]) > 1:
        raise UserError(f"{' '.join(modes)}: each of them does something else; give one")
    if arguments.resolve and arguments.cfg != "job":
        raise UserError("--resolve: it resolves what --cfg job shows; give --cfg job too")
    wrong = [f"{option}: {reason}" for option, reason in NOT_HERE.items() if option in given]
    wrong += filter(None, map(refusal, arguments.overrides))
    if wrong:
        raise UserError(*wrong)


MODES = ("--run", "--multirun", "--cfg", "--info")
NOT_HERE = {
    "--config-path": ONE_CONF,
    "--config-dir": ONE_CONF,
    "--config-name": ONE_CONF,
    "--experimental-rerun": "a run is trained again with frozen=results/runs/KEY/config.yaml",
    "--shell-completion": "there is none",
}
"""The options of Hydra that are refused, and why."""


@identifying_data_once()
def main() -> None:
    """Train a run or a sweep. Check the whole command line first, since Hydra reports one mistake at a time."""
    survive_lost_output()
    # argparse, which Hydra uses too, takes no option between two overrides.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda argument: argument not in ("-m", "--multirun"))
    arguments = get_args_parser().parse_args()
    if arguments.help:
        groups = "\n".join(f"  {group}: {', '.join(options)}" for group, options in group_options().items())
        print(USAGE.format(groups=groups), end="")
        return
    shows_only = arguments.hydra_help or arguments.cfg or arguments.info
    with exit_on_user_error():
        _check_hydra_options(arguments)
        if not shows_only:
            # Hydra composes the line too, without the frozen file that has the keys.
            lines = {override.input_line: forced(override) for override in parse(arguments.overrides)}
            sys.argv[1:] = [lines.get(argument, argument) for argument in sys.argv[1:]]
            if arguments.multirun:
                _sweep([lines[line] for line in arguments.overrides])
                return
            check_repeated(arguments.overrides)
            compose(arguments.overrides)
        try:
            _train()
        except HydraException as error:  # of --hydra-help, for example; else Hydra reports its errors itself
            raise UserError(first_line(error)) from None


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before training
        sys.exit(130)
