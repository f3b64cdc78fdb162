"""The tables of the recorded signals, each with a sentence on what was measured."""

import pandas as pd

from resnet_ablations.report.frame import Sweep
from resnet_ablations.report.tables.summary import number
from resnet_ablations.report.tables.table import Table
from resnet_ablations.report.theory.tables import Text, span, table_of_runs

VANISHED = 0.1
"""The ratio to the last unit below which a direct term counts as vanished."""
MOMENTS = {"start": "before", "end": "after"}


def propagation_table(sweep: Sweep, signals: pd.DataFrame) -> Table:
    """Return the gradient at the first unit, its direct term and ∏λ, relative to the output of the last unit."""
    shown = {"∏λ": "predicted", "direct term": "direct", "gradient": "gradient"}
    texts = {f"{heading} {MOMENTS[at]}": _spread(name, at) for at in _ends(signals) for heading, name in shown.items()}
    caption = (
        "The gradient ∂E/∂x at the first unit before and after training; its direct term, which is the last unit’s "
        "gradient carried back by the shortcuts alone; and the prediction ∏λ of the direct term (v2, eq. 8). All are "
        "divided by the gradient at the output of the last unit. λ is the factor of a shortcut: a constant, the mean "
        "of 1 − g(x), or dropout’s expectation."
    )
    sentences = [_on_propagation(signals[signals["at"] == at], at) for at in _ends(signals)]
    reasons = (
        "Theory and measurement part for two reasons. ∏λ leaves out what else lies on the direct path: ReLU after the "
        "addition, changes of dimension, the slope of a gate. And the gradient’s second part, through F, does not "
        "vanish with ∏λ, as batch normalisation divides by the size of x: the smaller x, the larger F’s derivative."
    )
    return table_of_runs(sweep, "propagation", "Gradient by depth", caption, signals, texts, [*sentences, reasons])


def _on_propagation(signals: pd.DataFrame, at: str) -> str:
    rows = signals.groupby(["row", "column"], sort=False)[["gradient", "direct", "predicted"]].median().dropna()
    vanished = rows["predicted"] < VANISHED
    low, other = rows[vanished], rows[~vanished]
    sentence = f"{MOMENTS[at].capitalize()} training, ∏λ is below {VANISHED:g} in {len(low)} of {len(rows)} rows"
    if len(low):
        direct, gradient = span(low["direct"]), span(low["gradient"])
        sentence += f": their direct term is {direct} times the last unit’s gradient, their whole gradient {gradient}"
    if len(other):
        sentence += f"; in the others the direct term is {span(other['direct'] / other['predicted'])} times ∏λ"
    return f"{sentence}."


def residuals_table(sweep: Sweep, signals: pd.DataFrame) -> Table:
    """Return the size of F(x) against x, and the share of negative values after the addition."""
    texts: dict[str, Text] = {}
    for at in _ends(signals):
        texts |= {
            f"‖F(x)‖/‖x‖ {MOMENTS[at]}": _spread("residual", at),
            f"y < 0 {MOMENTS[at]}": _percent("negative", at),
        }
    caption = (
        "‖F(x)‖/‖x‖ before and after training: the median unit (smallest to largest unit), F(x) before any scaling. "
        "y is the sum of shortcut and F(x), before what follows the addition; shown is its share of negative values."
    )
    sentence = "In the median unit, ‖F(x)‖/‖x‖ is {} before training" + " and {} after it" * ("end" in _ends(signals))
    sizes = [span(signals.loc[signals["at"] == at, "residual"]) for at in _ends(signals)]
    title = "Size of F(x) against x"
    return table_of_runs(sweep, "residuals", title, caption, signals, texts, [f"{sentence.format(*sizes)}."])


def gates_table(sweep: Sweep, signals: pd.DataFrame) -> Table:
    """Return the bias, the mean and the openness of the gates; `signals` are those of runs with gates."""
    shown = {"b_g": _spread, "g(x)": _spread, "g(x) > ½": _percent}
    names = dict(zip(shown, ("gate_bias", "gate_mean", "gate_open"), strict=True))
    texts = {
        f"{heading} {MOMENTS[at]}": write(names[heading], at)
        for at in _ends(signals)
        for heading, write in shown.items()
    }
    caption = (
        "b_g and the mean of g(x) before and after training: the median unit (smallest to largest unit); and the mean "
        "share of g(x) above ½. The shortcut carries 1 − g(x)."
    )
    ends = [signals[signals["at"] == at].set_index(["row", "column", "key"]) for at in _ends(signals)]
    sentence = f"The mean gate of the median unit is {span(ends[0]['gate_mean'])} before training"
    if len(ends) > 1:
        before, after = ends
        moved = pd.concat([(after[f"gate_bias_{end}"] - before["gate_bias"]).abs() for end in ("low", "high")])
        sentence += f" and {span(after['gate_mean'])} after it; b_g of a unit moves by at most {number(moved.max())}"
    title = "Which gate was learnt"
    return table_of_runs(sweep, "gates", title, caption, signals, texts, [f"{sentence}."])


def _ends(signals: pd.DataFrame) -> list[str]:
    """Return the ends of training that the signals have."""
    return [at for at in MOMENTS if at in set(signals["at"])]


def _spread(name: str, at: str) -> Text:
    """Return a function that writes the median over the runs, with the lowest and the highest value."""

    def write(runs: pd.DataFrame) -> str:
        here = runs[runs["at"] == at].dropna(subset=name)
        if here.empty:
            return "–"
        low, high = (here.get(f"{name}_{end}", here[name]) for end in ("low", "high"))
        ends = span([low.min(), high.max()])
        return number(here[name].median()) + f" ({ends})" * (" to " in ends)

    return write


def _percent(name: str, at: str) -> Text:
    """Return a function that writes the median share over the runs."""

    def write(runs: pd.DataFrame) -> str:
        share = runs.loc[runs["at"] == at, name].median()
        return "–" if pd.isna(share) else f"{100 * share:.0f} %"

    return write
