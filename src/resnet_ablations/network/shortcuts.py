"""The shortcuts of v2, Fig. 2: each class is one way to merge a unit's input x with its residual F(x).

The call is `shortcut(x, residual) -> y`:

- x: the unit's input, N × in_channels × H × W;
- residual: F(x), N × out_channels × H/stride × W/stride;
- y: the merged signal in the shape of the residual, before the activation that follows the addition.

In units that increase dimensions, F(x) differs from x in shape; there `unit.match()` is option A or B of v1, in all
other units it is the identity.

To add a shortcut, write a final class here and one file in `conf/shortcut/`: the keyword-only parameters of the
constructor are the settings, and their annotations give the allowed values.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, Literal, final

import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

from resnet_ablations.network.dimensions import UnitShape
from resnet_ablations.network.masks import Mask


class Shortcut(nn.Module, ABC):
    """The merge of a residual unit's input and residual."""

    @abstractmethod
    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return the merge of x and F(x); the module's docstring gives the shapes."""

    def initialise(self) -> None:
        """Initialise the parameters whose start values are not He's; called after He initialisation of all layers."""

    def undecayed(self) -> Iterator[nn.Parameter]:
        """Yield the parameters without weight decay."""
        return iter(())

    def expected_scale(self, gate: float | None) -> float | None:
        """Return λ, by which the shortcut is expected to scale x in training; None if that is not known.

        `gate` is the mean of g(x) on a batch if the shortcut has a module `gate`, otherwise None.
        """
        return None


@final
class Identity(Shortcut):
    """Fig. 2a, eq. 3: y = x + F(x)."""

    def __init__(self, unit: UnitShape) -> None:
        super().__init__()
        self.match = unit.match()

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.match(x) + residual

    def expected_scale(self, gate: float | None) -> float:
        return 1.0


@final
class Plain(Shortcut):
    """No shortcut, as in the plain nets of v1: y = F(x), also in units that change dimensions."""

    def __init__(self, unit: UnitShape) -> None:
        super().__init__()

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return residual

    def expected_scale(self, gate: float | None) -> float:
        return 0.0


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

    def expected_scale(self, gate: float | None) -> float:
        return self.shortcut_scale


class Gate(nn.Module):
    """g(x) = σ(W_g x + b_g): a 1×1 convolution of the unit's input and a sigmoid.

    N × in_channels × H × W to N × out_channels × H/stride × W/stride. With `batch_norm`, batch normalisation follows
    the convolution, and its β is b_g. If `reads` is "normalised_x", the convolution reads x after a batch
    normalisation of its own.
    """

    def __init__(
        self,
        unit: UnitShape,
        gate_bias: float,
        gate_weights: Literal["he", "zero"],
        gate_bias_rate: float,
        decay_gate_bias: bool,
        batch_norm: bool,
        reads: Literal["x", "normalised_x"],
    ) -> None:
        super().__init__()
        self.gate_bias = gate_bias
        self.gate_weights = gate_weights
        self.decay_gate_bias = decay_gate_bias
        self.normalise_x = nn.BatchNorm2d(unit.in_channels) if reads == "normalised_x" else nn.Identity()
        self.conv = nn.Conv2d(unit.in_channels, unit.out_channels, 1, unit.stride, bias=not batch_norm)
        self.normalise = nn.BatchNorm2d(unit.out_channels) if batch_norm else nn.Identity()
        if gate_bias_rate != 1:
            # SGD's step is the learning rate times the gradient.
            self.bias.register_hook(lambda gradient: gate_bias_rate * gradient)

    @property
    def bias(self) -> nn.Parameter:
        """b_g, a vector of out_channels values."""
        bias = self.conv.bias if self.conv.bias is not None else self.normalise.bias
        assert isinstance(bias, nn.Parameter)
        return bias

    def initialise(self) -> None:
        """Set b_g to `gate_bias`, and W_g to zero if `gate_weights` is "zero"."""
        nn.init.constant_(self.bias, self.gate_bias)
        if self.gate_weights == "zero":
            nn.init.zeros_(self.conv.weight)

    def undecayed(self) -> Iterator[nn.Parameter]:
        """Yield b_g if it has no weight decay."""
        if not self.decay_gate_bias:
            yield self.bias

    def forward(self, x: Tensor) -> Tensor:
        # In bf16 1 − σ(−7) is 1, so the merge needs the gate in float32 even if convolutions compute in bf16.
        return torch.sigmoid(self.normalise(self.conv(self.normalise_x(x))).float())


@final
class ExclusiveGating(Shortcut):
    """Fig. 2c, as in Highway Networks: y = (1 − g(x))·x + g(x)·F(x); b_g starts at `gate_bias`."""

    def __init__(
        self,
        unit: UnitShape,
        *,
        gate_bias: float,
        gate_weights: Literal["he", "zero"],
        gate_bias_rate: Annotated[float, Gt(0)],
        decay_gate_bias: bool,
        batch_norm: bool,
        gate_reads: Literal["x", "normalised_x"],
    ) -> None:
        super().__init__()
        self.match = unit.match()
        self.gate = Gate(unit, gate_bias, gate_weights, gate_bias_rate, decay_gate_bias, batch_norm, gate_reads)

    def initialise(self) -> None:
        self.gate.initialise()

    def undecayed(self) -> Iterator[nn.Parameter]:
        return self.gate.undecayed()

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        gate = self.gate(x)
        return (1 - gate) * self.match(x) + gate * residual

    def expected_scale(self, gate: float | None) -> float | None:
        return None if gate is None else 1 - gate


@final
class ShortcutOnlyGating(Shortcut):
    """Fig. 2d: y = (1 − g(x))·x + F(x); b_g starts at `gate_bias`."""

    def __init__(
        self,
        unit: UnitShape,
        *,
        gate_bias: float,
        gate_weights: Literal["he", "zero"],
        gate_bias_rate: Annotated[float, Gt(0)],
        decay_gate_bias: bool,
        batch_norm: bool,
        gate_reads: Literal["x", "normalised_x"],
    ) -> None:
        super().__init__()
        self.match = unit.match()
        self.gate = Gate(unit, gate_bias, gate_weights, gate_bias_rate, decay_gate_bias, batch_norm, gate_reads)

    def initialise(self) -> None:
        self.gate.initialise()

    def undecayed(self) -> Iterator[nn.Parameter]:
        return self.gate.undecayed()

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return (1 - self.gate(x)) * self.match(x) + residual

    def expected_scale(self, gate: float | None) -> float | None:
        return None if gate is None else 1 - gate


@final
class Conv1x1(Shortcut):
    """Fig. 2e: y = W x + F(x); W is a 1×1 convolution with the unit's stride, followed by BN if `batch_norm`."""

    def __init__(self, unit: UnitShape, *, batch_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(unit.in_channels, unit.out_channels, 1, unit.stride, bias=False)
        self.normalise = nn.BatchNorm2d(unit.out_channels) if batch_norm else nn.Identity()

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.normalise(self.conv(x)) + residual


@final
class Dropout(Shortcut):
    """Fig. 2f: y = dropout(x) + F(x).

    Not `inverted`, as in the text of v2: training keeps each value of x with probability 1 − rate and sets the others
    to zero, so that the expectation is (1 − rate)·x; evaluation multiplies x by 1 − rate. `inverted`: training divides
    the kept values by 1 − rate, and evaluation leaves x unchanged.
    """

    def __init__(self, unit: UnitShape, *, rate: Annotated[float, Gt(0), Lt(1)], inverted: bool) -> None:
        super().__init__()
        self.match = unit.match()
        self.kept = Mask(rate)
        self.keep_rate = 1 - rate
        self.inverted = inverted

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        x = self.match(x)
        if self.training:
            x = x * self.kept(x)
            return (x / self.keep_rate if self.inverted else x) + residual
        return (x if self.inverted else self.keep_rate * x) + residual

    def expected_scale(self, gate: float | None) -> float:
        return 1.0 if self.inverted else self.keep_rate
