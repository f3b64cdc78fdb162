"""Pages of made-up results folders, without the files beside them, and what is read from a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import html5lib

from resnet_ablations.report.contents import sweep_report
from resnet_ablations.report.frame import read_report_data
from resnet_ablations.report.page.page import page


@dataclass(frozen=True)
class Claimed:
    id: str = "identity"
    sentence: str = "The identity is best"
    where: str = "v2, Table 1"
    experiment: str = "shortcuts"


@dataclass(frozen=True)
class Judged:
    """The fields of a verdict that the page reads."""

    outcome: str = "reproduced"
    sweep: str = "shortcuts-quick"
    scale: str = "quick"
    effect: str = "+1.50 points"
    interval: str = "–"
    seeds: str = "n = 1/1"
    statement: str = "At this scale: it is."
    flags: tuple[str, ...] = ()
    cells: tuple[tuple[str, str], ...] = ()
    claim: Claimed = Claimed()
    p_and_q: str = "p = 0.012, q = 0.034"

    @property
    def finding(self) -> "Judged":
        """The outcome with its numbers: the fields above."""
        return self


def page_of(results: Path, damaged: Sequence[str] = (), verdicts: Sequence[Judged] = ()) -> str:
    """Return the page of a results folder with these verdicts."""
    data = read_report_data(results)
    return page([sweep_report(sweep, data) for sweep in data.sweeps], data, verdicts, damaged)  # type: ignore[arg-type]


def parsed(text: str) -> Element:
    """Raises where the page is not HTML by the letter."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def text_of(element: Element | None) -> str:
    assert element is not None
    return " ".join("".join(element.itertext()).split())


def with_class(root: Element, name: str) -> list[Element]:
    return [element for element in root.iter() if name in element.get("class", "").split()]
