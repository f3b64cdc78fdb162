"""Make and print every table and figure, and make the page report/index.html, from the results alone."""

import argparse
import sys

from resnet_ablations.console import standard_console
from resnet_ablations.errors import exit_on_user_error
from resnet_ablations.paths import default_results
from resnet_ablations.report.write_report import write_report
from resnet_ablations.results.results_folder import readable, writable


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0, or 1 if a damaged file was left out."""
    parser = argparse.ArgumentParser(
        prog="resnet-ablations report",
        description=__doc__,
        epilog="example: resnet-ablations report results --sweep shortcuts-quick",
    )
    parser.add_argument("results", nargs="?", default=default_results(), help="the results folder")
    one_sweep = (
        "report only on this sweep in RESULTS/sweeps, for example shortcuts-quick; writes no page and no verdicts"
    )
    parser.add_argument("--sweep", metavar="NAME", help=one_sweep)
    options = parser.parse_args(arguments)
    with exit_on_user_error():
        damaged = write_report(writable(readable(options.results)), options.sweep, standard_console())
    for message in damaged:
        print(f"error: {message}", file=sys.stderr)
    return 1 if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
