"""Test finished runs again from the weights that they have kept; print the error beside the recorded one."""

from rich.table import Table

from resnet_ablations.console import standard_console
from resnet_ablations.data.progress import ProgressLines
from resnet_ablations.errors import UserError, exit_on_user_error
from resnet_ablations.results.results_folder import readable, runs_parser
from resnet_ablations.results.run_folder import RunFolder, folders_named
from resnet_ablations.training.trained import trained_run


def main() -> None:
    """Test the named runs."""
    arguments = runs_parser("evaluate", __doc__, "resnet56-identity-*").parse_args()
    table = Table(box=None)
    for heading in ("run", "recorded test error", "test error here"):
        table.add_column(heading, overflow="fold", justify="left" if heading == "run" else "right")
    mistakes: list[str] = []
    with exit_on_user_error():
        folders = folders_named(readable(arguments.results), arguments.runs)
        progress = ProgressLines("testing")
        for done, folder in enumerate(folders, start=1):
            try:
                recorded, here = evaluate(folder)
            except UserError as error:
                mistakes += error.messages
            else:
                table.add_row(folder.key, f"{recorded:.2f} %", "the same" if here == recorded else f"{here:.2f} %")
            progress.at(done, len(folders), "runs")
        if table.rows:
            standard_console(120).print(table)
        if mistakes:
            raise UserError(*mistakes)


def evaluate(folder: RunFolder) -> tuple[float, float]:
    """Return the recorded test error (%) of a run, and that of its kept weights on this machine.

    They are the same on the machine that trained the run; elsewhere, rounding can change the class of an image.
    """
    with trained_run(folder) as run:
        assert run.result.test_error is not None  # a finished run has one
        return run.result.test_error, run.test_error(run.network)


if __name__ == "__main__":
    main()
