"""A table as Markdown, LaTeX, CSV and in the terminal."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from resnet_ablations.console import WIDTH
from resnet_ablations.report.tables.table import Column, Table

MANY = 10
"""From so many columns on, they stand close together."""

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    " %": r"~\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    '"': "''",
    "−": r"$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "≈": r"$\approx$",
    "†": r"$\dagger$",
    "·": r"$\cdot$",
    "λ": r"$\lambda$",
    "γ": r"$\gamma$",
    "β": r"$\beta$",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "“": "``",
    "”": "''",
    "’": "'",
    "b_g": r"$b_g$",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a formula may begin with, in some spreadsheet: the wide signs do in a Chinese or Japanese one."""
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPT = re.compile(r"\^\d+|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_LATEX_TOKEN = re.compile("|".join(map(re.escape, sorted(LATEX, key=len, reverse=True))))
_UNKNOWN_TO_LATEX = re.compile("[^ -~À-ÏÑ-ÖØ-Ýß-ïñ-öø-ýÿ]")
"""Beyond ASCII, pdfLaTeX has Latin letters without further packages."""
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$])")


def markdown(table: Table) -> str:
    """GitHub's Markdown: caption, table, notes, and the command as a code block."""
    lines = [_markdown(table.caption), ""]
    lines.append(_markdown_line(_markdown(column.heading) for column in table.columns))
    lines.append(_markdown_line("---:" if column.right else "---" for column in table.columns))
    for number, row in enumerate(table.rows):
        texts = map(_markdown, row)
        best = [(number, column) in table.best for column in range(len(row))]
        lines.append(
            _markdown_line(f"**{text}**" if is_best else text for text, is_best in zip(texts, best, strict=True))
        )
    for note in table.notes:
        lines += ["", _markdown(note)]
    if table.command:
        lines += ["", "Runs are missing; this makes them:", "", "```sh", table.command, "```"]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    """A `table` with a booktabs `tabular`, to be used with LaTeX's input command as it is."""
    table, left_out = _narrow(table)
    command = [f"% Runs are missing; this makes them: {_one_line(table.command)}"] if table.command else []
    columns = "".join(map(_latex_column, table.columns))
    notes = [rf"\par\smallskip {_latex(note)}" for note in (*table.notes, *left_out)]
    return "\n".join(
        [
            *command,
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.caption)}}}",
            rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]', '-', table.name)}}}",
            r"\medskip",
            r"\footnotesize\setlength{\tabcolsep}{3pt}",
            r"\makebox[\linewidth]{%",  # one that is wider than the text stands out on both sides
            rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
            r"\toprule",
            _latex_line([_latex(column.heading) for column in table.columns], table.columns),
            r"\midrule",
            *(_latex_row(table, number) for number in range(len(table.rows))),
            r"\bottomrule",
            r"\end{tabular}}",
            *notes,
            r"\end{table}",
            "",
        ]
    )


def csv(frame: pd.DataFrame) -> str:
    """Numbers to eight digits; a text that a spreadsheet would take for a formula is led by an apostrophe.

    A heading or a name may be anything; a number, negative ones too, is left as it is.
    """
    safe = frame.rename(columns=_defused).map(lambda value: _defused(value) if isinstance(value, str) else value)
    return safe.to_csv(index=False, lineterminator="\n", float_format="%.8g")


def terminal(table: Table, console: Console) -> None:
    """Print the table, not wider than `WIDTH`."""
    table, left_out = _narrow(table)
    width = min(WIDTH, console.width)
    console.print(Text(table.title, style="bold"), width=width)
    console.print(Text(table.caption), width=width)
    gap = 1 if len(table.columns) < MANY else 0
    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    for column in table.columns:
        justify: Literal["left", "right"] = "right" if column.right else "left"
        # Folded in a narrow terminal: rich would cut a number off.
        grid.add_column(Text(column.heading), justify=justify, max_width=column.width, overflow="fold")
    for number, row in enumerate(table.rows):
        styles = ["bold" if (number, column) in table.best else "" for column in range(len(row))]
        texts = map(_broken, row, table.columns)
        grid.add_row(*(Text(text, style) for text, style in zip(texts, styles, strict=True)))
    console.print()
    console.print(grid, width=width)
    console.print()
    for note in (*table.notes, *left_out):
        console.print(Text(note), width=width)
    if table.command:
        console.print(Text("Runs are missing; this makes them:"), width=width)
        console.print(Text(f"  {table.command}"), soft_wrap=True)
    console.print()


def _narrow(table: Table) -> tuple[Table, list[str]]:
    """The table without the columns that stand aside, and a note that says where they are, if there are any."""
    kept = [number for number, column in enumerate(table.columns) if not column.is_aside]
    if len(kept) == len(table.columns):
        return table, []
    narrow = replace(
        table,
        columns=tuple(table.columns[number] for number in kept),
        rows=tuple(tuple(row[number] for number in kept) for row in table.rows),
        best=frozenset((row, kept.index(column)) for row, column in table.best if column in kept),
        cells=(),
    )
    headings = (column.heading for column in table.columns if column.is_aside)
    return narrow, [f"For want of width not here but in {table.name}.md and {table.name}.csv: {'; '.join(headings)}."]


def _broken(text: str, column: Column) -> str:
    """A text that has to wrap does so before a parenthesis that then fits its line: 6.61 over (6.63 ± 0.16)."""
    if column.width is None or len(text) <= column.width:
        return text
    return re.sub(rf" (\([^()]{{,{column.width - 2}}}\))", r"\n\1", text)


def _markdown(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", _one_line(text))


def _markdown_line(texts: Iterable[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _latex(text: str) -> str:
    """With all that means something to LaTeX escaped; a character that it does not know becomes `[U+65E5]`."""
    paired = re.sub(r'"([^"]*)"', r"“\1”", _one_line(text))
    texts = (_LATEX_TOKEN.sub(lambda match: LATEX[match[0]], part) for part in _SUPERSCRIPT.split(paired))
    powers = (f"$^{{{power.strip('^').translate(SUPERSCRIPTS)}}}$" for power in _SUPERSCRIPT.findall(paired))
    known = "".join(text + power for text, power in zip_longest(texts, powers, fillvalue=""))
    return _UNKNOWN_TO_LATEX.sub(lambda match: f"{{[}}U+{ord(match[0]):04X}{{]}}", known)


def _latex_column(column: Column) -> str:
    if column.width is None:
        return "r" if column.right else "l"
    return f"p{{{column.width / 2:g}em}}"


def _latex_row(table: Table, number: int) -> str:
    best = [(number, column) in table.best for column in range(len(table.columns))]
    texts = map(_latex, table.rows[number])
    return _latex_line(
        [rf"\textbf{{{text}}}" if is_best else text for text, is_best in zip(texts, best, strict=True)], table.columns
    )


def _latex_line(texts: Sequence[str], columns: Sequence[Column]) -> str:
    flush = [(r"\raggedleft " if c.right else r"\raggedright ") if c.width else "" for c in columns]
    cells = " & ".join(start + text for start, text in zip(flush, texts, strict=True))
    return cells + r" \tabularnewline"  # not \\, which means something else after \raggedright


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _defused(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text
