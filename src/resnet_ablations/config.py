"""The configuration of one run: its schema, and the allowed values.

A group whose class is open to extension (`shortcut`, `data`, `logger`) names the class in `_target_`; its schema is
derived from the keyword-only parameters of that class's constructor, so that a new class needs no entry here.
"""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any, Literal, Self, cast

from annotated_types import Ge, Gt, Le
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from resnet_ablations.components import parameters_of, resolve
from resnet_ablations.data.images import ImageFiles, Images, check_held_out
from resnet_ablations.data.sources import Source
from resnet_ablations.errors import UserError
from resnet_ablations.loggers.logger import Logger, NoLogger
from resnet_ablations.network.dimensions import DimensionChange
from resnet_ablations.network.resnet import Stem, equal_stages
from resnet_ablations.network.shortcuts import Shortcut
from resnet_ablations.network.units import KernelSize, Placement
from resnet_ablations.results.keys import configuration_name, run_key, without_locations
from resnet_ablations.results.run_folder import RunFolder

NO_SUCH_KEY = "no such key here"

Positive = Annotated[int, Ge(1)]
NotNegative = Annotated[float, Ge(0)]
CompileMode = Literal["default", "reduce-overhead", "max-autotune"]


def _label(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise ValueError("must be small letters, digits and _, or null")
    return name


Label = Annotated[str, AfterValidator(_label)]
"""A part of a run's name, which is that of a folder."""


class Settings(BaseModel):
    """A group of settings: unknown and missing keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class NetworkSettings(Settings):
    """conf/network: see `resnet_ablations.network.resnet.ResNet`.

    `units` of each stage may be null where all stages have as many, which then follows from the depth.
    """

    label: Label | None = None
    depth: int
    stem: Stem
    units: list[Positive] | None = None
    widths: Annotated[list[Positive], Field(min_length=1)]
    kernels: Annotated[list[KernelSize], Field(min_length=1)]
    expansion: Positive
    dimension_change: DimensionChange
    bottleneck_stride: Literal["conv1x1", "conv3x3"] | None = None
    shared_preactivation: Literal["projections", "dimension_changes"]
    varied_units: Literal["all", "same_shape"]
    init: Literal["fan_in", "fan_out"]

    @model_validator(mode="after")
    def _depth_fits(self) -> Self:
        layers, stages = len(self.kernels), len(self.widths)
        try:
            units = self.stages
        except ValueError as error:
            raise ValueError(f"network.depth={self.depth}: {error}") from None
        if len(units) != stages:
            raise ValueError(f"network.units={units}: must be as many as network.widths={self.widths}")
        if (fits := 2 + layers * sum(units)) != self.depth:
            raise ValueError(f"network.depth={self.depth}: must be {fits} for network.units={units}")
        allowed = [None] if self.kernels[0] != 1 else ["conv1x1", "conv3x3"] if 3 in self.kernels else ["conv1x1"]
        if self.bottleneck_stride not in allowed:
            raise ValueError(
                f"network.bottleneck_stride={self.bottleneck_stride or 'null'}: must be "
                f"{' or '.join(name or 'null' for name in allowed)} for network.kernels={self.kernels}"
            )
        return self

    @property
    def stages(self) -> list[int]:
        """The units of each stage."""
        if self.units is not None:
            return self.units
        return equal_stages(self.depth, len(self.kernels), len(self.widths))

    @property
    def strided(self) -> int:
        """Which of a branch's convolutions, from 0, has the unit's stride."""
        return self.kernels.index(3) if self.bottleneck_stride == "conv3x3" else 0


@dataclass(frozen=True)
class LabelledPlacement(Placement):
    """conf/activation: a placement and its part of a run's name."""

    label: Label | None = None


class ComponentSettings(Settings):
    """A group whose `_target_` names a class of this package and whose other keys are that class's settings."""

    target: str = Field(alias="_target_")

    def build(self, *args: object) -> Any:
        """An object of the class, from the positional arguments given and these settings."""
        component = resolve(self.target)
        return component(*args, **{name: getattr(self, name) for name in parameters_of(component)})


class Augmentation(Settings):
    """Zero padding on each side before a random crop of the original size, and a random horizontal flip."""

    pad: Annotated[int, Ge(0)]
    flip: bool


class DataSettings(ComponentSettings):
    """conf/data: a `resnet_ablations.data.sources.Source`, what is done to its images, and which images they are.

    With `held_out`, so many training images are tested on in the place of the test set, and not trained on.
    `fingerprint` is found when the configuration is checked, for data sets that a name does not fix.
    """

    augmentation: Augmentation
    normalisation: Literal["per_pixel_mean", "per_channel"]
    held_out: Positive | None = None
    fingerprint: str | None = None

    @cached_property
    def source(self) -> Source:
        """The data set; nothing is read before it is asked to."""
        return cast(Source, self.build())

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape of an image as a network takes it: channels × height × width."""
        height, width, channels = self.source.shape
        return channels, height, width

    def check(self) -> None:
        """Raise `UserError` if the data cannot be had, or if nothing is left to train on."""
        self.source.check()
        if self.held_out is not None:
            check_held_out(self.held_out, self.source.training_images())

    def load(self) -> Images | ImageFiles:
        """The images that are trained and tested on, made ready where they are not."""
        images = self.source.load()
        return images if self.held_out is None else images.hold_out(self.held_out)


class ScheduleSettings(Settings):
    """conf/schedule: the recipe, counted in iterations."""

    iterations: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Gt(0)]
    milestones: list[Positive]
    warmup_iterations: Annotated[int, Ge(0)]
    warmup_learning_rate: Annotated[float, Gt(0)]
    momentum: Annotated[float, Ge(0), Le(1)]
    weight_decay: NotNegative
    weight_decay_on: Literal["all", "conv_weights"]
    log_every: Positive
    evaluate_every: Positive

    @field_validator("milestones")
    @classmethod
    def _milestones_rise(cls, milestones: list[int]) -> list[int]:
        if sorted(set(milestones)) != milestones:
            raise ValueError("must rise")
        return milestones

    def learning_rate_at(self, iteration: int) -> float:
        """The learning rate of the update after `iteration` updates: warm-up, then ÷10 at each milestone reached."""
        if iteration < self.warmup_iterations:
            return self.warmup_learning_rate
        return self.learning_rate / 10 ** sum(iteration >= milestone for milestone in self.milestones)


class TrainerSettings(Settings):
    """conf/trainer: the devices, the CPU threads of a run and of its decoding, memory, compilation, checkpoints."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: Positive
    nodes: Positive
    threads: Positive | None
    workers: Positive | None
    recompute: bool
    channels_last: bool
    compile: CompileMode | None
    checkpoint_minutes: Annotated[float, Gt(0), Le(10)]
    checkpoint_iterations: Positive | None

    @property
    def ranks(self) -> int:
        """The processes that train a run together, one a device."""
        return self.devices * self.nodes


NO_LOGGER = {"_target_": f"{NoLogger.__module__}.{NoLogger.__qualname__}"}
"""Of a run that was frozen before there were loggers."""


class Paths(Settings):
    """Where results go and data lie."""

    results: str
    data: str


class RunConfig(Settings):
    """One run, resolved and checked."""

    network: NetworkSettings
    shortcut: ComponentSettings
    activation: LabelledPlacement
    data: DataSettings
    schedule: ScheduleSettings
    precision: Literal["32-true", "bf16-mixed", "tf32"]
    bn_batch: Positive
    seed: Annotated[int, Ge(0), Le(2**32 - 1)]
    trainer: TrainerSettings
    logger: ComponentSettings
    """conf/logger: a `resnet_ablations.loggers.logger.Logger`."""
    paths: Paths

    @model_validator(mode="after")
    def _bn_batch_divides(self) -> Self:
        if self.schedule.batch_size % self.bn_batch:
            batch = self.schedule.batch_size
            allowed = ", ".join(str(images) for images in range(1, batch + 1) if batch % images == 0)
            raise ValueError(f"bn_batch={self.bn_batch}: must divide schedule.batch_size={batch}; allowed: {allowed}")
        return self

    @model_validator(mode="after")
    def _devices_share_equally(self) -> Self:
        batch, micro_batches, ranks = self.schedule.batch_size, self.micro_batches, self.trainer.ranks
        if micro_batches % ranks:
            nodes = f" on trainer.nodes={self.trainer.nodes}" if self.trainer.nodes > 1 else ""
            works = ", ".join(str(count) for count in range(1, micro_batches + 1) if micro_batches % count == 0)
            told = (
                f"trainer.devices={self.trainer.devices}{nodes}: schedule.batch_size={batch} is {micro_batches} "
                f"micro-batches of bn_batch={self.bn_batch} images, which {ranks} devices cannot share equally; "
                f"allowed: {works} in all"
            )
            if batch % ranks == 0:
                told += f", or another study with bn_batch={batch // ranks}"
            raise ValueError(told)
        return self

    @property
    def micro_batches(self) -> int:
        """The micro-batches of `bn_batch` images that make up an iteration."""
        return self.schedule.batch_size // self.bn_batch

    @property
    def scientific(self) -> dict[str, Any]:
        """What can change the run's numbers, as plain Python: all but trainer, logger, paths and where data lie."""
        return without_locations(self.as_dict())

    @property
    def configuration(self) -> str:
        """The name of everything scientific but the seed."""
        return configuration_name(self.scientific)

    @property
    def key(self) -> str:
        """The run's key: its configuration and its seed."""
        return run_key(self.configuration, self.seed)

    @property
    def folder(self) -> RunFolder:
        """Where the run leaves what it comes to."""
        return RunFolder(self.paths.results, self.key)

    def with_seed(self, seed: int | str) -> Self:
        """The same run with another seed."""
        return cast(Self, validate(self.as_dict() | {"seed": seed}))

    def as_dict(self) -> dict[str, Any]:
        """The whole configuration as plain Python, as `validate` takes it."""
        return self.model_dump(mode="json", by_alias=True)


def validate(tree: dict[str, Any]) -> RunConfig:
    """Check a resolved configuration and the presence of its data; raise one `UserError` with every mistake."""
    mistakes = []
    tree = {"logger": NO_LOGGER} | tree
    fields: dict[str, Any] = {}
    for group, interface, base in (
        ("shortcut", Shortcut, ComponentSettings),
        ("data", Source, DataSettings),
        ("logger", Logger, ComponentSettings),
    ):
        target = (tree.get(group) or {}).get("_target_")
        try:
            fields[group] = (_schema(resolve(str(target), interface), base), ...)
        except ValueError as error:
            mistakes.append(f"{group}._target_={target}: {error}")
            fields[group] = (Any, ...)
    try:
        config = _schema_of_run(**{group: schema for group, (schema, _) in fields.items()}).model_validate(tree)
        data = config.data if mistakes else _with_fingerprint(config.data)
    except ValidationError as error:
        mistakes += [message_of(cast(dict[str, Any], e)) for e in error.errors()]
        if not any(mistake.startswith("data") for mistake in mistakes):
            mistakes += _missing_data(fields["data"][0], tree)
    except UserError as error:
        mistakes += error.messages
    if mistakes:
        raise UserError(*mistakes)
    return config.model_copy(update={"data": data})


@cache
def _schema(component: type, base: type[Settings]) -> type[Settings]:
    fields: dict[str, Any] = {name: (annotation, ...) for name, annotation in parameters_of(component).items()}
    return create_model(component.__name__, __base__=base, **fields)


@cache
def _schema_of_run(**groups: Any) -> type[RunConfig]:
    """Return the schema of a run whose groups have these schemas."""
    fields: dict[str, Any] = {group: (schema, ...) for group, schema in groups.items()}
    return create_model("RunConfig", __base__=RunConfig, **fields)


def message_of(error: dict[str, Any], group: str = "") -> str:
    """One of pydantic's errors as `key=value: what is allowed`."""
    key = group + ".".join(map(str, error["loc"]))
    match error["type"]:
        case "missing":
            return f"{key}: must be given"
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{key}={error['input']}: {NO_SUCH_KEY}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    message = re.sub(r"^Predicate '(\w+)' failed$", r"must be \1", message)
    # The check of a whole group names its keys itself.
    of_a_group = error["type"] == "value_error" and isinstance(error["input"], dict)
    return message if of_a_group else f"{key}={error['input']}: {message}"


def _with_fingerprint(data: DataSettings) -> DataSettings:
    """The settings with the fingerprint of the images that are there."""
    fingerprint = _checked_fingerprint(data.model_copy(update={"fingerprint": None}))
    if data.fingerprint not in (None, fingerprint):
        raise UserError(f"data.fingerprint={data.fingerprint}: the images there are others ({fingerprint})")
    return data.model_copy(update={"fingerprint": fingerprint})


@cache
def _checked_fingerprint(data: DataSettings) -> str | None:
    """Checked and taken once in a process, for a sweep asks for the same images in each of its runs."""
    data.check()
    return data.source.fingerprint()


def _missing_data(schema: type[DataSettings], tree: dict[str, Any]) -> tuple[str, ...]:
    """The data set's own complaint, where other groups have mistakes already."""
    try:
        _with_fingerprint(schema.model_validate(tree["data"]))
    except UserError as error:
        return error.messages
    return ()
