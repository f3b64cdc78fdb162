"""The configuration of one run: its schema, its checks and the run's key."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from annotated_types import Ge, Le
from pydantic import ValidationError, create_model, model_validator

from resnet_ablations.components import defaults_of, parameters_of, resolve
from resnet_ablations.data.sources import Source
from resnet_ablations.errors import UserError, plain_reason, shortened
from resnet_ablations.loggers.logger import Logger, NoLogger
from resnet_ablations.network.shortcuts import Plain, Shortcut
from resnet_ablations.results.keys import configuration_name, run_key, without_locations
from resnet_ablations.results.run_folder import RunFolder, configuration_in
from resnet_ablations.settings import (
    ComponentSettings,
    DataSettings,
    LabelledPlacement,
    NetworkSettings,
    Paths,
    Positive,
    ScheduleSettings,
    Settings,
    ShortcutSettings,
    TrainerSettings,
)

NO_SUCH_KEY = "no such key here"

NO_LOGGER = {"_target_": f"{NoLogger.__module__}.{NoLogger.__qualname__}"}
"""The logger of frozen configurations without a `logger` group, which an earlier version wrote."""


class RunConfig(Settings):
    """The configuration of one run, resolved and checked."""

    network: NetworkSettings
    shortcut: ShortcutSettings
    activation: LabelledPlacement
    data: DataSettings
    schedule: ScheduleSettings
    precision: Literal["32-true", "bf16-mixed", "tf32"]
    bn_batch: Positive
    bn_statistics: Literal["moving", "averaged"] = "moving"
    """How evaluation gets the statistics of batch normalisation; see `training.running_statistics`."""
    seed: Annotated[int, Ge(0), Le(2**32 - 1)]
    trainer: TrainerSettings
    logger: ComponentSettings
    """conf/logger: the settings of a `resnet_ablations.loggers.logger.Logger`."""
    paths: Paths

    @model_validator(mode="after")
    def _bn_batch_divides(self) -> Self:
        if self.schedule.batch_size % self.bn_batch:
            batch = self.schedule.batch_size
            raise ValueError(
                f"bn_batch={self.bn_batch}: must divide schedule.batch_size={batch}; allowed: {_divisors(batch)}"
            )
        return self

    @model_validator(mode="after")
    def _option_a_adds_channels(self) -> Self:
        network = self.network
        outputs = [network.stem.width, *(width * network.expansion for width in network.widths)]
        if isinstance(self.shortcut, ShortcutSettings) and resolve(self.shortcut.target) is Plain:
            return self  # which maps no x
        if network.dimension_change != "projection" and sorted(outputs) != outputs:
            raise ValueError(
                f"network.widths={network.widths}: network.dimension_change={network.dimension_change} only adds "
                f"channels, and x has {', '.join(map(str, outputs))}; use widths that do not fall, or projection"
            )
        return self

    @model_validator(mode="after")
    def _bn_sees_several_values(self) -> Self:
        if not isinstance(self.data, DataSettings):  # its class is wrong, which `validate` reports
            return self
        stem, (_, height, width) = self.network.stem, self.data.image
        halvings = [stem.stride, *([2] if stem.max_pool else []), *[2] * (len(self.network.widths) - 1)]
        for stride in halvings:
            height, width = -(-height // stride), -(-width // stride)
        if self.bn_batch * height * width < 2:
            raise ValueError(
                f"bn_batch={self.bn_batch}: the last stage has {height}×{width} pixels, so batch normalisation would "
                "see one value of each channel; use a larger bn_batch, fewer network.widths or larger images"
            )
        return self

    @model_validator(mode="after")
    def _devices_share_equally(self) -> Self:
        batch, micro_batches, ranks = self.schedule.batch_size, self.micro_batches, self.trainer.ranks
        if micro_batches % ranks:
            nodes = f" on trainer.nodes={self.trainer.nodes}" if self.trainer.nodes > 1 else ""
            message = (
                f"trainer.devices={self.trainer.devices}{nodes}: schedule.batch_size={batch} is {micro_batches} "
                f"micro-batches of bn_batch={self.bn_batch} images, which {ranks} devices cannot share equally; "
                f"allowed: {_divisors(micro_batches)} in all"
            )
            if batch % ranks == 0:
                message += (
                    f"; bn_batch={batch // ranks} would allow it, but changes the statistics of batch normalisation"
                )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _passes_are_equal(self) -> Self:
        own, per_pass = self.micro_batches // self.trainer.ranks, self.trainer.micro_batches_per_pass
        if per_pass is not None and own % per_pass:
            raise ValueError(
                f"trainer.micro_batches_per_pass={per_pass}: must divide {own}, the number of micro-batches of "
                f"bn_batch={self.bn_batch} images on each device; allowed: {_divisors(own)}, null"
            )
        return self

    @property
    def micro_batches(self) -> int:
        """The number of micro-batches of `bn_batch` images in an iteration."""
        return self.schedule.batch_size // self.bn_batch

    @property
    def scientific(self) -> dict[str, Any]:
        """The settings that can change the run's numbers: all except trainer, logger, paths and data locations."""
        return without_locations(self.as_dict())

    @property
    def configuration(self) -> str:
        """The name of the scientific settings without the seed.

        Settings that have the default of their schema are left out, so that a setting can be added without new keys.
        """
        return configuration_name(self._changed)

    @property
    def _changed(self) -> dict[str, Any]:
        return without_locations(self.model_dump(mode="json", by_alias=True, exclude_defaults=True))

    @property
    def key(self) -> str:
        """The run's key: the name of its configuration and its seed."""
        return run_key(self.configuration, self.seed)

    def key_under(self, numbers: int) -> str:
        """Return the key that a run of these settings had under an earlier version of `keys.NUMBERS`."""
        return run_key(configuration_name(self._changed, numbers), self.seed)

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return RunFolder(self.paths.results, self.key)

    def with_seed(self, seed: int | str) -> Self:
        """Return the same configuration with another seed."""
        run = validate(self.as_dict() | {"seed": seed}, identify_data=False)
        return cast(Self, run.model_copy(update={"data": self.data}))  # whose source may have listed its images

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how pickle makes the configuration again: its class is made at run time."""
        return partial(validate, identify_data=False), (self.as_dict(),)

    def as_dict(self) -> dict[str, Any]:
        """Return the whole configuration as plain Python types, in the form that `validate` takes."""
        return self.model_dump(mode="json", by_alias=True)


def _divisors(number: int) -> str:
    return ", ".join(str(divisor) for divisor in range(1, number + 1) if number % divisor == 0)


def frozen_tree(path: Path) -> dict[str, Any]:
    """Return the configuration in a run's `config.yaml`, unchecked, with the results folder that the file lies in.

    Raise `UserError` if the file cannot be read or is not the configuration of a run.
    """
    try:
        tree = configuration_in(path)
    except ValueError as error:
        raise UserError(f"{shortened(path.parent / str(error))}; name a file runs/KEY/config.yaml") from None
    home = Path(os.path.normpath(path.absolute())).parent.parent
    paths = tree.get("paths")
    if home.name == "runs" and paths is not None and Path(str(paths.get("results"))).absolute() != home.parent:
        tree["paths"] = paths | {"results": str(home.parent)}
    return tree


def unfit(path: Path, messages: Sequence[str], advice: str) -> str:
    """Return one message for the mistakes that this version finds in a run's `config.yaml`."""
    first, *others = messages
    more = f", and {len(others)} more" if others else ""
    return f"{path}: does not fit this version ({first.partition(';')[0]}{more}); {advice}"


def validate(tree: dict[str, Any], *, identify_data: bool = True) -> RunConfig:
    """Check a resolved configuration and its data; raise one `UserError` with every mistake.

    If `identify_data`, the data have to be there, and the configuration gets the fingerprint of its images. A process
    that trains a frozen configuration needs no check here, since the training verifies the images.
    """
    mistakes = []
    tree = {"logger": NO_LOGGER} | tree
    schemas: dict[str, Any] = {}
    for group, interface, base in (
        ("shortcut", Shortcut, ShortcutSettings),
        ("data", Source, DataSettings),
        ("logger", Logger, ComponentSettings),
    ):
        settings = tree.get(group)
        target = settings.get("_target_") if isinstance(settings, dict) else None
        try:
            schemas[group] = _schema_of_component(resolve(str(target), interface), base)
        except ValueError as error:
            mistakes.append(f"{group}._target_={shortened(target)}: {error}")
            schemas[group] = Any
    try:
        config = _schema_of_run(**schemas).model_validate(tree)
        mistakes += truth_values(tree, config.as_dict())
        data = _identified(config.data) if identify_data and not mistakes else config.data
    except ValidationError as error:
        mistakes += [message_of(cast(dict[str, Any], e)) for e in error.errors()]
        if identify_data and not any(mistake.startswith("data") for mistake in mistakes):
            mistakes += _data_mistakes(schemas["data"], tree)
    except UserError as error:
        mistakes += error.messages
    if mistakes:
        raise UserError(*mistakes)
    return config.model_copy(update={"data": data})


def truth_values(given: Any, checked: Any, key: str = "") -> list[str]:
    """Return a message for each true or false that was given for a number; pydantic reads them as 1 and 0."""
    if isinstance(given, dict) and isinstance(checked, dict):
        parts = [(given[name], checked[name], f"{key}.{name}".lstrip(".")) for name in given if name in checked]
    elif isinstance(given, list) and isinstance(checked, list) and len(given) == len(checked):
        parts = [(*pair, f"{key}.{i}") for i, pair in enumerate(zip(given, checked, strict=True))]
    elif isinstance(given, bool) and not isinstance(checked, bool):
        return [f"{key}={shortened(given)}: must be a number, not true or false"]
    else:
        return []
    return [message for part in parts for message in truth_values(*part)]


@cache
def _schema_of_component(component: type, base: type[Settings]) -> type[Settings]:
    defaults = defaults_of(component)
    fields: dict[str, Any] = {
        name: (annotation, defaults.get(name, ...)) for name, annotation in parameters_of(component).items()
    }
    return create_model(component.__name__, __base__=base, **fields)


@cache
def _schema_of_run(**groups: Any) -> type[RunConfig]:
    """Return the schema of a run whose groups have these schemas."""
    fields: dict[str, Any] = {group: (schema, ...) for group, schema in groups.items()}
    return create_model("RunConfig", __base__=RunConfig, **fields)


def message_of(error: dict[str, Any], group: str = "") -> str:
    """Return one of pydantic's errors as `key=value: allowed values`."""
    key = group + ".".join(map(str, error["loc"]))
    match error["type"]:
        case "missing":
            return f"{key}: must be given, as {key}=VALUE"
        case "extra_forbidden" | "unexpected_keyword_argument":
            value = "" if isinstance(error["input"], dict) else f"={shortened(error['input'])}"
            return f"{shortened(key)}{value}: {NO_SUCH_KEY}"
        case "string_too_short" | "too_short" if error["ctx"]["min_length"] == 1:
            return f"{key}={shortened(error['input'])}: must not be empty"
        case "too_short" | "too_long":
            least, most, found = (error["ctx"].get(name) for name in ("min_length", "max_length", "actual_length"))
            bound = f"at most {most}" if least is None else f"at least {least}"
            return f"{shortened(key)}={shortened(error['input'])}: must have {bound} items, not {found}"
    message = plain_reason(error["msg"])
    message = re.sub(r"^Predicate '(\w+)' failed$", r"must be \1", message)
    # The validator of a whole group names the keys itself.
    names_keys = error["type"] == "value_error" and isinstance(error["input"], dict)
    return message if names_keys else f"{shortened(key)}={shortened(error['input'])}: {message}"


_identified_before: dict[DataSettings, DataSettings | UserError] | None = None
"""The results of `_identified` within `identifying_data_once`."""


@contextmanager
def identifying_data_once() -> Iterator[None]:
    """Check the images of equal settings once within the context: the runs of a sweep share a few data sets."""
    global _identified_before
    before = _identified_before
    _identified_before = {} if before is None else before
    try:
        yield
    finally:
        _identified_before = before


def _identified(data: DataSettings) -> DataSettings:
    """Return the settings with the fingerprint of the images; raise `UserError` if they have another fingerprint."""
    if _identified_before is None:
        return data.identify()
    if data not in _identified_before:
        try:
            _identified_before[data] = data.identify()
        except UserError as error:
            _identified_before[data] = error
    identified = _identified_before[data]
    if isinstance(identified, UserError):
        raise UserError(*identified.messages)
    return identified


def _data_mistakes(schema: type[DataSettings], tree: dict[str, Any]) -> tuple[str, ...]:
    """Return the errors of the data group, for a configuration whose other groups have errors."""
    try:
        _identified(schema.model_validate(tree["data"]))
    except UserError as error:
        return error.messages
    return ()
