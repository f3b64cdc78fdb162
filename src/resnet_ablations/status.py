"""Print every run of a results folder: outcome, step, speed and time left; and where the logs are."""

import argparse

from resnet_ablations.console import standard_console
from resnet_ablations.errors import UserError, exit_on_user_error
from resnet_ablations.paths import default_results
from resnet_ablations.results.provenance import same_code
from resnet_ablations.results.results_folder import readable
from resnet_ablations.results.run_folder import run_folders
from resnet_ablations.sweep.monitor import print_reasons, state_table
from resnet_ablations.sweep.squeue import states_of

WIDTH = 80


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(
        prog="resnet-ablations status", description=__doc__, epilog="example: resnet-ablations status results"
    )
    parser.add_argument("results", nargs="?", default=default_results(), help="the results folder")
    results = parser.parse_args().results
    with exit_on_user_error():
        results = readable(results)
        folders = run_folders(results)
        if not folders:
            raise UserError(f"{results}: no run yet; start one with: resnet-ablations sweep shortcuts")
        states = states_of(folders)
        console = standard_console(WIDTH)
        console.print(state_table(states, console.width), "")
        print_reasons(states, console)
        done = [result for f in folders if states[f.key].done and (result := f.result()) is not None]
        if other := sum(same_code(result.provenance) is False for result in done):
            print(f"{other} of {len(done)} results are of another code version; resnet-ablations plan shows which")
        console.print(f"logs: {results / 'runs' / 'RUN' / 'log.txt'}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
