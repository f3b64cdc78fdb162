import csv as standard_csv
import io
import re

import pandas as pd
from rich.console import Console

from resnet_ablations.console import WIDTH
from resnet_ablations.report.tables.formats import csv, latex, markdown, terminal
from resnet_ablations.report.tables.table import Table, TableColumn

NASTY = Table(
    name="shortcuts-quick",
    title="Title",
    caption='A_b 100 % & "quoted" — ± ≥ “x”',
    columns=(TableColumn("case"), TableColumn("ours", right=True), TableColumn("remark")),
    rows=(
        ("a|b *c*", "6.61 (6.63 ± 0.16)", "init b_g = 0 to −5"),
        ("[1] <x> `y`", "−0.50 †", "1×1, 50%_\\ $#{}~^"),
    ),
    notes=("† note_1",),
    command="resnet-ablations sweep shortcuts 'a=$b'",
)


def test_markdown_is_escaped() -> None:
    text = markdown(NASTY)
    assert r"| a\|b \*c\* | 6.61 (6.63 ± 0.16) | init b\_g = 0 to −5 |" in text
    assert r"| \[1\] \<x\> \`y\` | −0.50 † |" in text
    assert "| --- | ---: | --- |" in text
    assert "† note\\_1" in text
    assert "```sh\nresnet-ablations sweep shortcuts 'a=$b'\n```" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}


def test_latex_is_escaped_and_plain_ascii() -> None:
    text = latex(NASTY)
    assert r"\caption{A\_b 100~\% \& ``quoted'' --- $\pm$ $\geq$ ``x''}" in text
    assert r"a\textbar{}b {*}c{*} & 6.61 (6.63 $\pm$ 0.16) & init $b_g$ = 0 to $-$5 \tabularnewline" in text
    assert r"{[}1{]} \textless{}x\textgreater{} `y` & $-$0.50 $\dagger$" in text
    assert r"1$\times$1, 50\%\_\textbackslash{} \$\#\{\}\textasciitilde{}\textasciicircum{}" in text
    assert r"\begin{tabular}{@{}lrl@{}}" in text
    assert r"\label{tab:shortcuts-quick}" in text
    assert text.isascii()
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 1
    unescaped = re.sub(r"\\[\\{}]", "", text)
    assert unescaped.count("{") == unescaped.count("}")
    assert re.sub(r"\\\$", "", text.partition("\n")[2]).count("$") % 2 == 0


def test_characters_unknown_to_latex_are_named() -> None:
    text = latex(Table("n", "t", "é ß 日 Ω\x1b", (TableColumn("x"),), (), command="make x\n\\evil"))
    assert r"\caption{é ß {[}U+65E5{]} {[}U+03A9{]}{[}U+001B{]}}" in text
    assert text.splitlines()[0] == r"% Runs are missing; this command trains them: make x \evil"


def test_signs_of_quantities_in_latex() -> None:
    text = latex(Table("n", "t", "μ·F(x) ÷ x, α, τ", (TableColumn("x"),), (("3.24 to ∞",),)))
    assert r"\caption{$\mu$$\cdot$F(x) $\div$ x, $\alpha$, $\tau$}" in text
    assert r"3.24 to $\infty$" in text


def test_powers_in_latex() -> None:
    table = Table("n", "t", "λ^27 = 6·10⁻¹⁷ ≈ 0", (TableColumn("λ^54"),), (("2·10⁵ (a^b)",),))
    text = latex(table)
    assert r"\caption{$\lambda$$^{27}$ = 6$\cdot$10$^{-17}$ $\approx$ 0}" in text
    assert r"2$\cdot$10$^{5}$ (a\textasciicircum{}b)" in text
    assert text.isascii()


def test_csv_defuses_formulas_and_leaves_numbers() -> None:
    frame = pd.DataFrame({"text": ["=1+1", "+a", "-b", "@c", "-1", "+4.6 points", "-1+cmd|' /C x'!A0", "plain"]})
    frame["number"] = [-1.5, 2, None, -0.25, 1e-9, 3, 4, 5]
    frame = frame.assign(**{"=x": ["\t=1", "\n=1", "＝1", " =1", "1=1", -7, "", ""]})
    assert csv(frame).startswith("\ufefftext,")
    rows = list(standard_csv.reader(io.StringIO(csv(frame).removeprefix("\ufeff"))))
    assert [row[0] for row in rows] == [
        "text",
        "'=1+1",
        "'+a",
        "'-b",
        "'@c",
        "-1",
        "+4.6 points",
        "'-1+cmd|' /C x'!A0",
        "plain",
    ]
    assert [row[1] for row in rows] == ["number", "-1.5", "2", "", "-0.25", "1e-09", "3", "4", "5"]
    assert [row[2] for row in rows] == ["'=x", "'\t=1", "'\n=1", "'＝1", " =1", "1=1", "-7", "", ""]


def test_the_terminal_gets_plain_text_of_limited_width() -> None:
    out = io.StringIO()
    terminal(NASTY, Console(file=out, width=200, highlight=False))
    text = out.getvalue()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "a|b *c*" in text
    assert "[1] <x>" in text
    assert "  resnet-ablations sweep shortcuts 'a=$b'" in text


def test_a_narrow_terminal_cuts_no_number_off() -> None:
    out = io.StringIO()
    table = Table("n", "t", "c", (TableColumn("ours"), TableColumn("remark")), (("49.81–56.52 (6 of 6)", "x" * 30),))
    terminal(table, Console(file=out, width=24, highlight=False))
    assert "…" not in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 24


def test_columns_share_a_page_and_break_no_word() -> None:
    columns = (TableColumn("case"), TableColumn("paper", right=True), TableColumn("long", right=True))
    table = Table("n", "t", "c", (*columns, TableColumn("remark")), (("x" * 30, "≈ 10.08", "y " * 40, "word " * 30),))
    text = latex(table)
    assert r"\begin{tabular}{@{}lrp{11.5em}p{11.5em}@{}}" in text, "84 − 30 − 7 letters are left for two"
    assert r"& \raggedleft y y" in text
    assert r"& \raggedright word word" in text
    out = io.StringIO()
    terminal(table, Console(file=out, width=200, highlight=False))
    assert "≈ 10.08" in out.getvalue()
    assert set(re.findall("[a-z]{2,}", out.getvalue())) <= {"case", "paper", "long", "remark", "word", "x" * 30}
