"""The shortcuts of v2, Fig. 2: each class owns one way to merge a unit's input x with its residual F(x).

A shortcut is called as `shortcut(x, residual) -> y`:

- x: the unit's input, N × in_channels × H × W;
- residual: F(x), N × out_channels × H/stride × W/stride;
- y: their merge, of the residual's shape, before the activation that follows the addition.

Where h(x) "is" x, the shape of F(x) may differ from that of x (the units that increase dimensions); `unit.match()` is
v1's option A or B for that, and the identity everywhere else.

To add one, write a final class here and one file in `conf/shortcut/`: the keyword-only parameters of its constructor
are its settings, and their annotations say what is allowed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, Literal, final

import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

from resnet_ablations.network.dimensions import UnitShape


class Shortcut(nn.Module, ABC):
    """How a residual unit joins its input and its residual."""

    @abstractmethod
    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """Merge x and F(x) (see the module's docstring for the shapes)."""

    def initialise(self) -> None:
        """Set what He initialisation of every convolution does not."""

    def undecayed(self) -> Iterator[nn.Parameter]:
        """The parameters that weight decay spares."""
        return iter(())


@final
class Identity(Shortcut):
    """Fig. 2a, eq. 3: y = x + F(x)."""

    def __init__(self, unit: UnitShape) -> None:
        super().__init__()
        self.match = unit.match()

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.match(x) + residual


@final
class Plain(Shortcut):
    """No shortcut, v1's plain net: y = F(x), where dimensions change too."""

    def __init__(self, unit: UnitShape) -> None:
        super().__init__()

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return residual


@final
class ConstantScaling(Shortcut):
    """Fig. 2b, eq. 6: y = λ·x + μ·F(x) with λ = `shortcut_scale`, μ = `residual_scale`; λ = 0, μ = 1 is a plain net."""

    def __init__(self, unit: UnitShape, *, shortcut_scale: float, residual_scale: float) -> None:
        super().__init__()
        self.match = unit.match()
        self.shortcut_scale = shortcut_scale
        self.residual_scale = residual_scale

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.shortcut_scale * self.match(x) + self.residual_scale * residual


class Gate(nn.Module):
    """g(x) = σ(W_g x + b_g), a 1×1 convolution of the unit's input; with batch normalisation b_g is its β."""

    def __init__(
        self,
        unit: UnitShape,
        gate_bias: float,
        gate_weights: Literal["he", "zero"],
        decay_gate_bias: bool,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        self.gate_bias = gate_bias
        self.gate_weights = gate_weights
        self.decay_gate_bias = decay_gate_bias
        self.conv = nn.Conv2d(unit.in_channels, unit.out_channels, 1, unit.stride, bias=not batch_norm)
        self.normalise = nn.BatchNorm2d(unit.out_channels) if batch_norm else nn.Identity()

    @property
    def bias(self) -> nn.Parameter:
        """b_g, out_channels."""
        bias = self.conv.bias if self.conv.bias is not None else self.normalise.bias
        assert isinstance(bias, nn.Parameter)
        return bias

    def initialise(self) -> None:
        """b_g, and the weights where they are not He's."""
        nn.init.constant_(self.bias, self.gate_bias)
        if self.gate_weights == "zero":
            nn.init.zeros_(self.conv.weight)

    def undecayed(self) -> Iterator[nn.Parameter]:
        """b_g, unless it decays."""
        if not self.decay_gate_bias:
            yield self.bias

    def forward(self, x: Tensor) -> Tensor:
        # In bf16 1 − σ(−7) is 1: the merge needs the gate in float32, also where convolutions are bf16.
        return torch.sigmoid(self.normalise(self.conv(x)).float())


@final
class ExclusiveGating(Shortcut):
    """Fig. 2c, the Highway Network's: y = (1 − g(x))·x + g(x)·F(x); b_g = `gate_bias` at the start."""

    def __init__(
        self,
        unit: UnitShape,
        *,
        gate_bias: float,
        gate_weights: Literal["he", "zero"],
        decay_gate_bias: bool,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        self.match = unit.match()
        self.gate = Gate(unit, gate_bias, gate_weights, decay_gate_bias, batch_norm)

    def initialise(self) -> None:
        self.gate.initialise()

    def undecayed(self) -> Iterator[nn.Parameter]:
        return self.gate.undecayed()

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        gate = self.gate(x)
        return (1 - gate) * self.match(x) + gate * residual


@final
class ShortcutOnlyGating(Shortcut):
    """Fig. 2d: y = (1 − g(x))·x + F(x); b_g = `gate_bias` at the start."""

    def __init__(
        self,
        unit: UnitShape,
        *,
        gate_bias: float,
        gate_weights: Literal["he", "zero"],
        decay_gate_bias: bool,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        self.match = unit.match()
        self.gate = Gate(unit, gate_bias, gate_weights, decay_gate_bias, batch_norm)

    def initialise(self) -> None:
        self.gate.initialise()

    def undecayed(self) -> Iterator[nn.Parameter]:
        return self.gate.undecayed()

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return (1 - self.gate(x)) * self.match(x) + residual


@final
class Conv1x1(Shortcut):
    """Fig. 2e: y = W x + F(x), a 1×1 convolution (strided where dimensions change), with BN after it or without."""

    def __init__(self, unit: UnitShape, *, batch_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(unit.in_channels, unit.out_channels, 1, unit.stride, bias=False)
        self.normalise = nn.BatchNorm2d(unit.out_channels) if batch_norm else nn.Identity()

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.normalise(self.conv(x)) + residual


@final
class Dropout(Shortcut):
    """Fig. 2f: y = dropout(x) + F(x).

    Not `inverted`, as v2's text has it: in training each value of x is kept with probability 1 − rate and otherwise
    zero, an expectation of (1 − rate)·x, by which x is scaled in evaluation. `inverted` divides both by (1 − rate).
    """

    def __init__(self, unit: UnitShape, *, rate: Annotated[float, Gt(0), Lt(1)], inverted: bool) -> None:
        super().__init__()
        self.match = unit.match()
        self.dropout = nn.Dropout(rate)
        self.scale = 1.0 if inverted else 1 - rate

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        # Masks are drawn in the order of memory: channels last, so that they are the same whatever x's order is.
        kept = self.dropout(self.match(x).contiguous(memory_format=torch.channels_last))
        return self.scale * kept + residual
