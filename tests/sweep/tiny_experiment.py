"""An experiment of two rows and three configurations."""

ROW = {"case": "any", "panel": "2a", "on_shortcut": "1", "on_residual": "1", "printed": 6.61}
TINY = {
    "title": "Tiny",
    "source": "nowhere",
    "caption": "Two rows, three configurations.",
    "overrides": ["activation=original", "trainer=cpu"],
    "scales": {
        "quick": {"overrides": ["network.depth=8", "schedule.iterations=6"], "seeds": [0]},
        "paper": {
            "overrides": ["network.depth=14", "schedule.iterations=9", "schedule.evaluate_every=3"],
            "seeds": [0, 1],
        },
        "early": {"prefix_of": "paper", "iterations": 3, "seeds": [0]},
    },
    "rows": [
        ROW | {"id": "original", "configurations": [["shortcut=identity"]]},
        ROW
        | {
            "id": "gates",
            "configurations": [["shortcut=exclusive_gating", f"shortcut.gate_bias={bias}"] for bias in (0, -1)],
        },
    ],
}
