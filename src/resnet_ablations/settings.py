"""The settings of one run, group by group as in conf/, and the allowed values.

A class that a configuration names in `_target_` (`shortcut`, `data`, `logger`) has its settings in the keyword-only
parameters of its constructor; `config.py` derives their schema, so that a new class needs no entry here.
"""

import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from resnet_ablations.components import parameters_of, resolve
from resnet_ablations.data.images import ImageFiles, Images, check_classes, check_held_out
from resnet_ablations.data.room import check_memory
from resnet_ablations.data.sources import Folder, Source
from resnet_ablations.errors import UserError
from resnet_ablations.network.dimensions import DimensionChange
from resnet_ablations.network.resnet import Stem, equal_stages
from resnet_ablations.network.units import KernelSize, Placement
from resnet_ablations.paths import with_home

Positive = Annotated[int, Ge(1), Le(10**9)]
NotNegative = Annotated[float, Ge(0)]
SMALLEST_FLOAT32 = 2.0**-126
LARGEST = 1e38
"""The limit of every setting that is no whole number: training computes with 32-bit numbers, up to 3.4e38."""
CompileMode = Literal["default", "reduce-overhead", "max-autotune"]


def _label(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise ValueError("must be small letters, digits and _, or null")
    return name


Label = Annotated[str, AfterValidator(_label)]
"""A part of a run's name, which is also the name of the run's folder."""


class Settings(BaseModel):
    """A group of settings; unknown keys and missing keys are errors.

    A setting with a default here was added after the first runs. Its default is what earlier runs did, so runs with the
    default keep their keys; it must never change. New runs take their values from conf/.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _fits_float32(cls, value: Any) -> Any:
        if isinstance(value, float) and abs(value) > LARGEST:
            raise ValueError(f"must be from {-LARGEST:g} to {LARGEST:g}, since training computes with 32-bit numbers")
        return value


class NetworkSettings(Settings):
    """conf/network: see `resnet_ablations.network.resnet.ResNet`.

    `units` may be null if every stage has the same number of units, which then follows from the depth.
    """

    label: Label | None = None
    depth: Annotated[int, Le(100_000)]
    stem: Stem
    units: list[Positive] | None = None
    widths: Annotated[list[Annotated[int, Ge(1), Le(8_192)]], Field(min_length=1)]
    kernels: Annotated[list[KernelSize], Field(min_length=1)]
    expansion: Annotated[int, Ge(1), Le(16)]
    dimension_change: DimensionChange
    bottleneck_stride: Literal["conv1x1", "conv3x3"] | None = None
    shared_preactivation: Literal["projections", "dimension_changes"]
    init: Literal["fan_in", "fan_out"]

    @model_validator(mode="after")
    def _depth_fits(self) -> Self:
        layers, stages = len(self.kernels), len(self.widths)
        try:
            units = self.stages
        except ValueError as error:
            raise ValueError(f"network.depth={self.depth}: {error}") from None
        if len(units) != stages:
            raise ValueError(f"network.units={units}: must have as many entries as network.widths={self.widths}")
        if (depth := 2 + layers * sum(units)) != self.depth:
            raise ValueError(f"network.depth={self.depth}: must be {depth} for network.units={units}")
        allowed = [None] if self.kernels[0] != 1 else ["conv1x1", "conv3x3"] if 3 in self.kernels else ["conv1x1"]
        if self.bottleneck_stride not in allowed:
            raise ValueError(
                f"network.bottleneck_stride={self.bottleneck_stride or 'null'}: must be "
                f"{' or '.join(name or 'null' for name in allowed)} for network.kernels={self.kernels}"
            )
        return self

    @property
    def stages(self) -> list[int]:
        """The number of units of each stage."""
        if self.units is not None:
            return self.units
        return equal_stages(self.depth, len(self.kernels), len(self.widths))

    @property
    def strided(self) -> int:
        """The index of the strided convolution in a branch."""
        return self.kernels.index(3) if self.bottleneck_stride == "conv3x3" else 0


@dataclass(frozen=True)
class LabelledPlacement(Placement):
    """conf/activation: a placement and its part of a run's name."""

    label: Label | None = None


class ComponentSettings(Settings):
    """A group whose `_target_` names a class of this package and whose other keys are the settings of that class."""

    target: str = Field(alias="_target_")

    def build(self, *args: object) -> Any:
        """Return an object of the class, made from the positional arguments and these settings."""
        component = resolve(self.target)
        return component(*args, **{name: getattr(self, name) for name in parameters_of(component)})


class ShortcutSettings(ComponentSettings):
    """conf/shortcut: a `resnet_ablations.network.shortcuts.Shortcut` and the units that have it.

    `same_shape` are the units that keep the shape of their input; the others then add x, mapped by `dimension_change`.
    """

    varied_units: Literal["all", "same_shape"]


class Augmentation(Settings):
    """Zero padding on each side before a random crop of the original size, and a random horizontal flip."""

    pad: Annotated[int, Ge(0)]
    flip: bool


class DataSettings(ComponentSettings):
    """conf/data: a `resnet_ablations.data.sources.Source` and the processing of its images.

    If `held_out` is set, this number of training images is used for testing, in place of the test set, and not for
    training. `fingerprint` is the digest of the images of a data set that its name does not identify;
    `config.validate` computes it, and `load` verifies it.
    """

    augmentation: Augmentation
    normalisation: Literal["per_pixel_mean", "per_channel"]
    held_out: Positive | None = None
    fingerprint: str | None = None

    @model_validator(mode="after")
    def _crops_meet_the_image(self) -> Self:
        side = min(self.source.shape[:2])
        if isinstance(self.augmentation, Augmentation) and self.augmentation.pad >= side:
            raise ValueError(
                f"data.augmentation.pad={self.augmentation.pad}: must be smaller than the shorter side of the images, "
                f"{side}; otherwise a crop can miss the image; allowed: 0 to {side - 1}"
            )
        return self

    @cached_property
    def source(self) -> Source:
        """The data set; creating it reads no image. It reads the list of its images once."""
        return cast(Source, self.build())

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape of an image as the network takes it: channels × height × width."""
        height, width, channels = self.source.shape
        return channels, height, width

    def check(self) -> None:
        """Raise `UserError` if the data are missing, or if `held_out` leaves too little to train on."""
        self.source.check()
        if self.held_out is not None:
            check_held_out(self.held_out, self.source.training_images(), self.source.classes)

    def identify(self) -> Self:
        """Check the data as they are now, and return the settings with the fingerprint of the images.

        Raise `UserError` if the settings have another fingerprint.
        """
        data = self._reread()
        data.check()
        return data.model_copy(update={"fingerprint": data._verified()})

    def load(self, *, verify: bool = True) -> Images | ImageFiles:
        """Return the images for training and testing; download or prepare them first if necessary.

        Raise `UserError` if the images are no longer those of the settings' fingerprint. Without `verify`, streamed
        images are not compared; other images always are, since all of them are read anyway.
        """
        self.__dict__.pop("source", None)  # its list of images would take memory during training
        data = self._reread()
        if self.fingerprint is not None and (verify or not data.source.streams):
            data._verified()
        images = data.source.load()
        if self.held_out is None:
            return images
        split = images.hold_out(self.held_out)
        check_classes(split, images, self.held_out)
        return split

    def check_memory(self, copies: int) -> None:
        """Raise `UserError` unless memory has room for `copies` of all images; streamed images need none."""
        source = self._reread().source
        if not source.streams:
            count = source.training_images() + source.test_images()
            check_memory(getattr(self, "root", None), (count, *source.shape), copies)

    def _reread(self) -> Self:
        """Return these settings with a new `source`, which reads the list of images again."""
        return type(self).model_validate(self.model_dump(by_alias=True))

    def _verified(self) -> str | None:
        """Return the fingerprint of the images; raise `UserError` if it is not that of the settings."""
        now = self.source.fingerprint()
        if self.fingerprint in (None, now):
            return now
        raise UserError(
            f"data.root={getattr(self, 'root', None)}: its images are not those of this run (fingerprint {now}, they "
            f"were {self.fingerprint}); start a new run, or use the images for which the configuration was made"
        )


class ScheduleSettings(Settings):
    """conf/schedule: the optimisation, counted in iterations.

    The warm-up ends after `warmup_iterations`. If `warmup_until_error` is set, it ends earlier: at the first row of the
    curve with a training error (%) below it.
    """

    iterations: Positive
    batch_size: Annotated[int, Ge(1), Le(10**6)]
    learning_rate: Annotated[float, Gt(0)]
    milestones: Annotated[list[Positive], MaxLen(100)]
    warmup_iterations: Annotated[int, Ge(0), Le(10**9)]
    warmup_learning_rate: Annotated[float, Gt(0)]
    warmup_until_error: Annotated[float, Gt(0), Le(100)] | None = None
    decay_factor: Annotated[float, Gt(1), Le(1_000)] = 10.0
    momentum: Annotated[float, Ge(0), Le(1)]
    momentum_form: Literal["caffe", "torch"] = "caffe"
    """The momentum across changes of the learning rate; see `training.sgd`."""
    nesterov: bool = False
    weight_decay: NotNegative
    weight_decay_on: Literal["all", "conv_weights"]
    log_every: Positive
    evaluate_every: Positive

    @field_validator("milestones")
    @classmethod
    def _milestones_increase(cls, milestones: list[int]) -> list[int]:
        if sorted(set(milestones)) != milestones:
            raise ValueError("must be in increasing order")
        return milestones

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("schedule.nesterov=true: needs schedule.momentum greater than 0")
        return self

    @model_validator(mode="after")
    def _learning_rates_are_float32(self) -> Self:
        rates = {"warmup_learning_rate": self.warmup_learning_rate, "learning_rate": self.learning_rate}
        for name, rate in rates.items():
            last = rate if name.startswith("warmup") else rate / self.decay_factor ** len(self.milestones)
            if last < SMALLEST_FLOAT32:
                divided = f" becomes {last:g} after {len(self.milestones)} milestones, which" if last < rate else ""
                raise ValueError(
                    f"schedule.{name}={rate}:{divided} is less than {SMALLEST_FLOAT32:.2g}, the smallest 32-bit "
                    "number; use a larger one" + (", or fewer schedule.milestones" if divided else "")
                )
        return self

    def learning_rate_at(self, iteration: int, *, warmed_up: bool = False) -> float:
        """Return the learning rate of the update after `iteration` updates.

        It is `warmup_learning_rate` in the warm-up, then `learning_rate` divided by `decay_factor` at each milestone.
        `warmed_up` is true after the training error has fallen below `warmup_until_error`.
        """
        if iteration < self.warmup_iterations and not warmed_up:
            return self.warmup_learning_rate
        return self.learning_rate / self.decay_factor ** sum(iteration >= milestone for milestone in self.milestones)


class TrainerSettings(Settings):
    """conf/trainer: devices, CPU threads for training and for decoding, memory, compilation, checkpoints."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    devices: Annotated[int, Ge(1), Le(1_024)]
    nodes: Annotated[int, Ge(1), Le(1_024)]
    backend: Literal["gloo"] | None = None
    threads: Annotated[int, Ge(1), Le(1_024)] | None
    workers: Annotated[int, Ge(1), Le(1_024)] | None
    recompute: bool
    channels_last: bool
    compile: CompileMode | None
    cuda_graph: bool = False
    micro_batches_per_pass: Positive | None = None
    checkpoint_minutes: Annotated[float, Gt(0), Le(10)]
    checkpoint_iterations: Positive | None
    keep_weights: bool | None = None
    signals: bool = False

    @model_validator(mode="after")
    def _graphs_are_recorded_once(self) -> Self:
        if self.cuda_graph and self.recompute:
            raise ValueError(
                "trainer.cuda_graph=true: recomputation reads the state of the random numbers, which a CUDA graph "
                "cannot; set trainer.cuda_graph=false or trainer.recompute=false"
            )
        if self.cuda_graph and self.compile not in (None, "default"):
            raise ValueError(
                f"trainer.cuda_graph=true: trainer.compile={self.compile} records CUDA graphs of its own; "
                "set trainer.cuda_graph=false, or trainer.compile=null or default"
            )
        return self

    @property
    def ranks(self) -> int:
        """The number of processes that train the run together, one for each device."""
        return self.devices * self.nodes


def _results_folder(path: str) -> str:
    """Return the path with `~` replaced; raise `ValueError` if something else than a folder is there."""
    folder = Path(with_home(path))
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise ValueError("is no folder; choose another one")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ValueError(f"cannot be used: {error.strerror}; choose another folder") from None
    return str(folder)


class Paths(Settings):
    """The results folder and the data folder; `~` is the home folder, a relative path starts at the current folder."""

    results: Annotated[str, MinLen(1), AfterValidator(_results_folder)]
    data: Folder
