"""The tables of the recorded signals, each with a sentence on what was measured."""

import pandas as pd

from resnet_ablations.experiments import load_experiment
from resnet_ablations.report.frame import Sweep
from resnet_ablations.report.tables.summary import number
from resnet_ablations.report.tables.table import Table
from resnet_ablations.report.theory.tables import MASKED, Text, several, span, spread, table_of_runs

VANISHED = 0.1
"""The ratio to the last unit below which a direct term counts as vanished."""
OPERATIONS = {"relu": "ReLU", "bn": "batch normalisation"}
MOMENTS = {"start": "before", "end": "after"}
SCALED = {
    "exclusive_gating": "g(x)·F(x) with exclusive gating",
    "highway_gating": "g(x)·F(x) with highway gating",
    "constant_scaling": "μ·F(x) with constant scaling",
    "scaled_residual": "α·F(x) with a learnt α",
    "stochastic_depth": "b·F(x) with stochastic depth",
}
"""The shortcuts that scale F(x), with what the unit then adds."""


def propagation_table(sweep: Sweep, signals: pd.DataFrame) -> Table:
    """Return the gradient at the first unit, its direct term and ∏λ, relative to the output of the last unit."""
    shown = {"∏λ": "predicted", "direct term": "direct", "gradient": "gradient"}
    texts = {
        f"{heading} {MOMENTS[at]}": spread(name, at=at) for at in _ends(signals) for heading, name in shown.items()
    }
    caption = (
        "The gradient ∂E/∂x at the first unit before and after training; its direct term, which is the last unit’s "
        "gradient carried back by the shortcuts alone; and the prediction ∏λ of the direct term (v2, eq. 8). All are "
        "divided by the gradient at the output of the last unit. Where a ReLU follows the addition, what it stops of "
        "this gradient is missing in every value of the row. λ is the factor of a shortcut: a constant, the mean of "
        "1 − g(x), or the expectation of a mask. A row whose shortcut has no such factor shows no ∏λ (–)."
        + several(signals)
        + _recorded(sweep, signals)
    )
    notes = [*(_on_propagation(signals[signals["at"] == at], at) for at in _ends(signals)), _reasons(sweep, signals)]
    return table_of_runs(sweep, "propagation", "Gradient by depth", caption, signals, texts, notes)


def _reasons(sweep: Sweep, signals: pd.DataFrame) -> str:
    """Return sentences on why direct term and ∏λ differ, from what the measured networks have."""
    measured = sweep.settings.loc[signals.dropna(subset="predicted")["configuration"].unique()]
    if measured.empty:
        return ""
    after = [operation for of in measured["activation.after_addition"] for operation in of]
    gated = bool(signals["gate_mean"].notna().any())
    left_out = [
        *[f"{name} after the addition" for operation, name in OPERATIONS.items() if operation in after],
        *["changes of dimension"] * any(len(widths) > 1 for widths in measured["network.widths"]),
        *["the slope of a gate"] * gated,
    ]
    masked = bool(measured["shortcut"].isin(MASKED).any())
    varying = " and ".join(["gates"] * gated + ["masks"] * masked)
    sentences = [
        f"∏λ leaves out what else lies on the direct path: {', '.join(left_out)}." if left_out else "",
        f"It is a product of means; where {varying} differ between images and positions, it is not the size of the "
        "product."
        if varying
        else "",
        "The gradient’s other part, through F, is not in ∏λ.",
    ]
    return " ".join(filter(None, sentences))


def _on_propagation(signals: pd.DataFrame, at: str) -> str:
    known = signals.dropna(subset=["gradient", "direct", "predicted"])
    known = known.assign(ratio=known["direct"] / known["predicted"].mask(known["predicted"] == 0))
    rows = known.groupby("configuration", sort=False)[["gradient", "direct", "predicted", "ratio"]].median()
    vanished = rows["predicted"] < VANISHED
    low, other = rows[vanished], rows[~vanished]
    sentence = f"{MOMENTS[at].capitalize()} training, ∏λ is below {VANISHED:g} in {len(low)} of {len(rows)} "
    sentence += "configurations that have it"
    if len(low):
        direct, gradient = span(low["direct"]), span(low["gradient"])
        sentence += f": their direct term is {direct} times the last unit’s gradient, their whole gradient {gradient}"
    if len(other):
        sentence += f"; in the others the direct term is {span(other['ratio'])} times ∏λ"
    return f"{sentence}."


def residuals_table(sweep: Sweep, signals: pd.DataFrame) -> Table:
    """Return the size of F(x) against x, the share of negative values after the addition, and v1's responses."""
    texts: dict[str, Text] = {}
    for at in _ends(signals):
        texts |= {
            f"‖F(x)‖/‖x‖ {MOMENTS[at]}": spread("residual", at=at),
            f"y < 0 {MOMENTS[at]}": _percent("negative", at),
        }
    responses = sweep.runs.set_index("key")["response_mean"].dropna()
    signals = signals.assign(response=signals["key"].map(responses[~responses.index.duplicated()]))
    if signals["response"].notna().any():
        texts["mean response"] = spread("response")
    settings = sweep.settings.loc[signals["configuration"].unique()]
    if "shortcut.residual_scale" in settings:
        settings = settings[settings["shortcut.residual_scale"].ne(1)]
    scaled = [SCALED[shortcut] for shortcut in settings["shortcut"].unique() if shortcut in SCALED]
    caption = (
        "‖F(x)‖/‖x‖ before and after training: the median unit (smallest to largest unit), without the units that "
        "change dimensions, whose F(x) and x have different numbers of values. y is what the addition gives, before "
        "what follows it; shown is its share of negative values." + several(signals) + _recorded(sweep, signals)
    )
    if scaled:
        caption += f" F(x) is measured before it is scaled; what the unit adds is {' or '.join(scaled)}."
    sentence = "In the median unit of the rows, ‖F(x)‖/‖x‖ is {} before training" + " and {} after it" * (
        "end" in _ends(signals)
    )
    sizes = [span(signals.loc[signals["at"] == at, "residual"].dropna()) for at in _ends(signals)]
    title = "Size of F(x) against x"
    notes = [f"{sentence.format(*sizes)}.", _on_responses() if "mean response" in texts else ""]
    return table_of_runs(sweep, "residuals", title, caption, signals, texts, notes)


def _on_responses() -> str:
    """Return a sentence on v1's Fig. 7, with the digitised means of the paper's networks."""
    papers = load_experiment("layer_responses")
    means = ", ".join(f"{row.labels[0]} {row.cells['mean'].digitised}" for row in papers.rows)
    return (
        "Mean response: the standard deviation of a layer’s output behind BN, the mean over the layers of a trained "
        "network. It is the quantity of v1’s Fig. 7, whose means (CIFAR-10 and 64,000 iterations, digitised) are "
        f"{means}."
    )


def gates_table(sweep: Sweep, signals: pd.DataFrame) -> Table:
    """Return the bias, the mean and the openness of the gates; `signals` are those of runs with gates."""
    texts: dict[str, Text] = {}
    for at in _ends(signals):
        texts |= {
            f"b_g {MOMENTS[at]}": spread("gate_bias", at=at),
            f"g(x) {MOMENTS[at]}": spread("gate_mean", at=at),
            f"g(x) > ½ {MOMENTS[at]}": _percent("gate_open", at),
        }
    caption = (
        "b_g and the mean of g(x) before and after training: the median unit (smallest to largest unit); and the mean "
        "share of g(x) above ½. The shortcut carries 1 − g(x)." + several(signals)
    )
    gates = [span(signals.loc[signals["at"] == at, "gate_mean"]) for at in _ends(signals)]
    sentence = f"The mean gate of the median unit is {gates[0]} before training"
    if len(gates) > 1:
        ends = signals.loc[signals["at"] == "end", ["gate_moved_low", "gate_moved_high"]]
        moved = ends.abs().to_numpy().max()
        sentence += f" and {gates[1]} after it; b_g of a unit moves by at most {number(moved)}"
    title = "Which gate was learnt"
    return table_of_runs(sweep, "gates", title, caption, signals, texts, [f"{sentence}."])


def _recorded(sweep: Sweep, signals: pd.DataFrame) -> str:
    """Return a sentence, with a space before it, if some rows with results have no recorded signals."""
    rows = len(sweep.cells_with(lambda runs: bool((runs["outcome"] == "finished").any())))
    recorded = signals.groupby(["row", "column"]).ngroups
    return f" Signals are recorded in {recorded} of {rows} rows." * (recorded < rows)


def _ends(signals: pd.DataFrame) -> list[str]:
    """Return the ends of training that the signals have."""
    return [at for at in MOMENTS if at in set(signals["at"])]


def _percent(name: str, at: str) -> Text:
    """Return a function that writes the shares of the runs in %."""
    return spread(name, lambda share: f"{100 * share:.0f} %", at=at)
