"""Copy the finished runs of all sweeps, text only, into results/reference/; make its report; renew the README."""

import argparse
import re
import sys
from contextlib import chdir, suppress
from pathlib import Path

from resnet_ablations.console import standard_console
from resnet_ablations.errors import UserError, exit_on_user_error, reason_of
from resnet_ablations.paths import IS_CLONE, ROOT, default_results
from resnet_ablations.report.write_report import write_report
from resnet_ablations.results.atomic_write import write_atomically
from resnet_ablations.results.keys import is_location, without_locations
from resnet_ablations.results.locks import RunLock, RunLocked
from resnet_ablations.results.results_folder import readable
from resnet_ablations.results.run_folder import RunFolder, content_of
from resnet_ablations.results.run_writer import RunWriter
from resnet_ablations.results.signals import published
from resnet_ablations.results.sweeps import SweepPlan, load_sweeps, save_sweep

REFERENCE = Path("results/reference")
README = Path("README.md")
SHOWN = "shortcuts-quick"
COPIED = ("curve", "responses", "lesions", "path_gradients", "changes")
"""The files of a run that are published as they are."""
BEGIN, END = "<!-- begin results: written by make publish -->\n", "<!-- end results -->"


def main() -> None:
    """Publish a results folder."""
    parser = argparse.ArgumentParser(
        prog="resnet-ablations publish", description=__doc__, epilog="example: resnet-ablations publish results"
    )
    parser.add_argument("results", nargs="?", default=default_results(), help="the results folder")
    with exit_on_user_error():
        if not IS_CLONE:
            raise UserError("publish: this is an installed package; use the command of a clone (pip install -e .)")
        results = readable(parser.parse_args().results).resolve()
        with chdir(ROOT):  # the report names its folder as the checkout's other files do
            around_results(README)
            publish(results, REFERENCE)
            show(REFERENCE / "report" / f"{SHOWN}.md", README)


def publish(results: Path, reference: Path) -> None:
    """Copy the plans of `results` and their finished runs to `reference`, without names of folders of this machine.

    A run that is damaged, cannot be read, or to which another process writes, is named and left out. If both folders
    are the same, only make the report again. Raise `UserError` without a plan, or if a file cannot be written.
    """
    plans = load_sweeps(results)
    if not plans:
        raise UserError(f"{results}: no sweep to publish; run one first: resnet-ablations sweep shortcuts")
    for plan in plans if results.resolve() != reference.resolve() else []:
        try:
            copied = sum(_copied(RunFolder(results, key), RunFolder(reference, key)) for key in plan.run_keys)
            save_sweep(reference, _without_locations(plan))
        except OSError as error:
            raise UserError(f"{error.filename}: cannot be written: {reason_of(error)}") from None
        print(f"{plan.name}: {copied} runs published")
    write_report(reference, None, standard_console())


def show(table: Path, readme: Path) -> None:
    """Write a table between the README's markers, with its links from the README; nothing without table or markers.

    The table is followed by its first figure and by that of the gradient by depth, if there is one.
    """
    around = around_results(readme)
    if around is None or not table.exists():
        return
    text, *figures = table.read_text(encoding="utf-8").split("\n![")
    images = [figure.partition("\n")[0] for figure in figures]
    shown = images[:1] + [image for image in images if image.endswith("-propagation.svg)")]
    page = "\n![".join([text, *(f"{image}\n" for image in shown)]).replace("## ", "### ")
    place = table.parent.resolve().relative_to(readme.parent.resolve()).as_posix()
    before, after = around
    write_atomically(readme, before + BEGIN + re.sub(r"\]\((?!\w+:|/|#)", f"]({place}/", page) + END + after)


def around_results(readme: Path) -> tuple[str, str] | None:
    """Return the README's text before and after the markers; None without markers or file.

    Raise `UserError` unless each marker is there once, in their order.
    """
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if BEGIN not in text and END not in text:
        return None
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if (text.count(BEGIN), text.count(END), rest.count(END)) != (1, 1, 1):
        raise UserError(f"{readme}: must have one line {BEGIN.strip()} and, after it, one line {END}")
    return before, after


def _without_locations(plan: SweepPlan) -> SweepPlan:
    def elsewhere(overrides: list[str]) -> list[str]:
        return [line for line in overrides if not is_location(line)]

    configurations = {
        name: planned.model_copy(update={"overrides": elsewhere(planned.overrides)})
        for name, planned in plan.configurations.items()
    }
    return plan.model_copy(update={"overrides": elsewhere(plan.overrides), "configurations": configurations})


def _copied(source: RunFolder, target: RunFolder) -> bool:
    """Copy a run that has a result; return whether it did. Name a run that cannot be copied."""
    try:
        result = source.result()
        if result is None:
            if damage := source.damage():
                raise UserError(f"{source.key}: its result is damaged: {damage}")
            return False
        files = {name: _content(getattr(source, name)) for name in (*COPIED, "signals")}
        with RunLock(target.path) as lock:
            target.write_config(without_locations(source.configuration()))
            for name, content in files.items():
                if content is None:
                    getattr(target, name).unlink(missing_ok=True)
                else:
                    write_atomically(getattr(target, name), published(content) if name == "signals" else content)
            RunWriter(target, lock).finish(result)
    except UserError as error:
        print(f"not published: {error.messages[0]}", file=sys.stderr)
        return False
    except RunLocked as locked:
        print(f"not published: {target.key}: {locked}; publish again when it has ended", file=sys.stderr)
        return False
    return True


def _content(file: Path) -> bytes | None:
    with suppress(FileNotFoundError):
        return content_of(file)
    return None


if __name__ == "__main__":
    main()
