"""Shortcuts from outside both papers: a Highway network's gate, and shortcuts from other papers.

The interface is that of `resnet_ablations.network.shortcuts`.
"""

from collections.abc import Iterator
from typing import Annotated, final

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from resnet_ablations.network.dimensions import UnitShape
from resnet_ablations.network.masks import Mask
from resnet_ablations.network.shortcuts import Shortcut
from resnet_ablations.network.units import convolution


class HighwayGate(nn.Module):
    """g(x) = σ(BN(W₂ ReLU(BN(W₁ x)))): two 3×3 convolutions; b_g is β of the last batch normalisation.

    N × in_channels × H × W to N × out_channels × H/stride × W/stride.
    """

    def __init__(self, unit: UnitShape) -> None:
        super().__init__()
        self.first = convolution(unit.in_channels, unit.out_channels, 3, unit.stride)
        self.normalise_first = nn.BatchNorm2d(unit.out_channels)
        self.second = convolution(unit.out_channels, unit.out_channels, 3)
        self.normalise = nn.BatchNorm2d(unit.out_channels)

    @property
    def bias(self) -> nn.Parameter:
        """b_g, a vector of out_channels values."""
        return self.normalise.bias

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.normalise_first(self.first(x)))
        # In bf16 1 − σ(−7) is 1.
        return torch.sigmoid(self.normalise(self.second(hidden)).float())


@final
class HighwayGating(Shortcut):
    """y = (1 − g(x))·x + g(x)·F(x) with a gate as large as F; b_g starts at `gate_bias`."""

    def __init__(self, unit: UnitShape, *, gate_bias: float, decay_gate_bias: bool) -> None:
        super().__init__()
        self.match = unit.match()
        self.gate_bias = gate_bias
        self.decay_gate_bias = decay_gate_bias
        self.gate = HighwayGate(unit)

    def initialise(self) -> None:
        nn.init.constant_(self.gate.bias, self.gate_bias)

    def undecayed(self) -> Iterator[nn.Parameter]:
        if not self.decay_gate_bias:
            yield self.gate.bias

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        gate = self.gate(x)
        return (1 - gate) * self.match(x) + gate * residual

    def expected_scale(self, gate: float | None) -> float | None:
        return None if gate is None else 1 - gate


@final
class ScaledResidual(Shortcut):
    """y = x + α·F(x), with one learnt α in each unit; α = `start` at the start (ReZero and SkipInit: 0)."""

    def __init__(self, unit: UnitShape, *, start: float) -> None:
        super().__init__()
        self.match = unit.match()
        self.alpha = nn.Parameter(torch.full((1,), start))

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.match(x) + self.alpha * residual

    def expected_scale(self, gate: float | None) -> float:
        return 1.0


@final
class StochasticDepth(Shortcut):
    """y = x + b·F(x) in training, y = x + p·F(x) in evaluation (Huang et al., 2016).

    b is 1 with probability p, else 0; it is one number for all images of an iteration. p falls linearly over the units:
    p = 1 − (1 − `last_survival`)·l/L in unit l of L, counted from 1.
    """

    def __init__(self, unit: UnitShape, *, last_survival: Annotated[float, Gt(0), Le(1)]) -> None:
        super().__init__()
        self.match = unit.match()
        self.survival = 1 - (1 - last_survival) * (unit.index + 1) / unit.count
        self.kept = Mask(1 - self.survival, one_for_all=True)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        b = self.kept(residual[:, :1, :1, :1]) if self.training else self.survival
        return self.match(x) + b * residual

    def expected_scale(self, gate: float | None) -> float:
        return 1.0
