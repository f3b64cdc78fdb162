"""The recorded signals of a run as ratios, which compare networks of any width and batches of any size."""

import pandas as pd


def ratios(signals: pd.DataFrame) -> pd.DataFrame:
    """Return a run's `signals.csv` with `gradient` and `direct` divided by the gradient at the output of the last unit.

    `predicted` is ∏λ over the units from this one to the last, NaN where a shortcut does not state its λ; `residual` is
    ‖F(x_l)‖/‖x_l‖; `gate_moved` is b_g minus its first value.
    """
    last = signals.groupby("iteration")["gradient"].transform("last")
    is_output = signals["unit"] == signals["unit"].max()
    scale = signals["scale"].mask(is_output, 1.0)
    return signals.assign(
        gradient=signals["gradient"] / last,
        direct=signals["direct"] / last,
        predicted=scale[::-1].groupby(signals["iteration"]).cumprod(skipna=False),
        residual=signals["residual"] / signals["signal"],
        gate_moved=signals["gate_bias"] - signals.groupby("unit")["gate_bias"].transform("first"),
    )


def first_gradient(signals: pd.DataFrame) -> float:
    """Return the gradient at the first unit before the first update, from `ratios`; NaN if it is not recorded."""
    return float(signals.query("iteration == 0 and unit == 1")["gradient"].sum(min_count=1))
