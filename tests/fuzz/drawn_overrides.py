"""Overrides drawn at random from the schema: for every key allowed values, values at the limits, and nonsense.

The keys and their types come from the models of the configuration, so that a new key is drawn without an entry here.
"""

import dataclasses
import random
import string
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel

UNKNOWN: Final = object()
"""Stands for the value of an override that has no simple reading."""

WORDS: Final = (
    *("", " ", "a", "null", "None", "nan", "-inf", "true", "1", "é", "日本", "a b", "a=b", "a,b", "%s", "$HOME"),
    *("~", "~/x", "~nobody/x", "/dev/null", "/proc/x", ".", "..", "../x", "'", '"', "-", "--help", "???", "\t"),
    *("a\\b", "x" * 300),
)
"""Texts, some of which mean something else without quotes."""

TEXTS: Final = (
    *("", " ", "null", "None", "true", "TRUE", "yes", "nan", "inf", "-inf", "0x10", "1_000", "1e3", "007", "1."),
    *(".5", "+5", "1e400", "-1e-400", "9" * 400, "{}", "[]", "[[]]", "{a:1}", "{a:{b:[1]}}", "[" * 60, "{a:" * 40),
    *("???", "'???'", "${seed}", "${schedule.batch_size}", "${nope}", "${oc.env:HOME}", "${oc.env:NOPE}", "${", "$"),
    *(
        "${hydra:runtime.cwd}",
        "${ hydra:runtime.cwd}",
        "${now:%S}",
        "{env_set:{A:1}}",
        "}",
        "[",
        "]",
        "'",
        '"',
        "\\",
        ":",
        "=",
        "==",
        "#",
        "@",
        "a@b",
        "1,2",
        "1,,2",
        "é",
    ),
    *("range(1,3)", "interval(0,1)", "glob(*)", "choice(1,2)", "sort(2,1)", "shuffle(1,2)", "int(3.7)", "int(x)"),
    *("str(3)", "float(1)", "bool(1)", "json_str('{}')", "tag(a,1)", "extend_list(1)", "\x00", "\n", "a\nb"),
    *("\udc80", "💥" * 30, "!!python/object:os.system", "x" * 9_990),
)
"""Texts that a person, a script or a shell may write after `KEY=`."""

INTEGERS: Final = (-1, 0, 1, 2, 3, 7, 64, 2**31, 2**32, 2**63, 10**9, 10**30)
FLOATS: Final = (-1.0, -0.0, 0.0, 5e-324, 1e-45, 1e-7, 0.5, 1.0, 10.0, 1e38, 3.5e38, 1e308, float("inf"), float("nan"))


class Asked(NamedTuple):
    """An override: the key that it sets, its text, and the value that it asks for, or `UNKNOWN`."""

    key: str
    line: str
    value: Any


class Setting(NamedTuple):
    """A key of the schema, the type of its values, and their limits."""

    key: str
    annotation: Any
    limits: tuple[Any, ...]


def settings_of(model: Any, prefix: str = "") -> Iterator[Setting]:
    """Yield every setting of a model, at any depth."""
    if issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            yield from _setting(prefix + (field.alias or name), field.annotation, tuple(field.metadata))
    else:
        for name, annotation in typing.get_type_hints(model, include_extras=True).items():
            yield from _setting(prefix + name, annotation, ())


def _setting(key: str, annotation: Any, limits: tuple[Any, ...]) -> Iterator[Setting]:
    annotation, limits = _without_annotated(annotation, limits)
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
        yield from settings_of(annotation, f"{key}.")
    else:
        yield Setting(key, annotation, limits)


def _without_annotated(annotation: Any, limits: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    while hasattr(annotation, "__metadata__"):
        limits = (*limits, *annotation.__metadata__)
        annotation = annotation.__origin__
    return annotation, limits


def value_of(draw: random.Random, annotation: Any, limits: tuple[Any, ...] = ()) -> Any:
    """Return a value of a type: mostly an allowed one, often at a limit, sometimes beyond."""
    annotation, limits = _without_annotated(annotation, limits)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return value_of(draw, draw.choice(arguments), limits)
    if annotation is type(None):
        return None
    if origin is Literal:
        return draw.choice(arguments) if draw.random() < 0.8 else f"{arguments[0]}x"
    if annotation is bool:
        return draw.random() < 0.5
    if annotation in (int, float):
        return _number(draw, annotation, limits)
    if annotation is str:
        return draw.choice(WORDS) if draw.random() < 0.7 else "".join(draw.choices(string.printable, k=9))
    if origin in (list, tuple):
        kinds = arguments if origin is tuple else arguments * _length(draw, limits)
        values = [value_of(draw, kind) for kind in kinds]
        return UNKNOWN if UNKNOWN in values else values
    return UNKNOWN


def _length(draw: random.Random, limits: tuple[Any, ...]) -> int:
    least = next((limit.min_length for limit in limits if isinstance(limit, MinLen)), 0)
    most = next((limit.max_length for limit in limits if isinstance(limit, MaxLen)), 6)
    return draw.choice((least, least + 1, 2, 3, most, most + 1, max(0, least - 1)))


def _number(draw: random.Random, kind: type, limits: tuple[Any, ...]) -> int | float:
    names = {Ge: "ge", Gt: "gt", Le: "le", Lt: "lt"}
    bounds = [getattr(limit, names[type(limit)]) for limit in limits if type(limit) in names]
    if bounds and draw.random() < 0.6:
        step = 1 if kind is int else draw.choice((1.0, 0.1, 1e-9))
        return kind(draw.choice(bounds)) + draw.choice((-step, 0, step))
    if draw.random() < 0.5:
        return draw.randint(1, 200) if kind is int else round(draw.uniform(0, 1), 3)
    return draw.choice(INTEGERS if kind is int else FLOATS)


def text_of(value: Any) -> str:
    """Return a value as a person writes it after `KEY=`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(text_of, value))}]"
    if isinstance(value, str):
        return "'" + value.replace("\\'", "\\\\'").replace("'", "\\'") + "'"
    return repr(value)


def overrides(draw: random.Random, settings: Sequence[Setting], groups: Sequence[str], count: int) -> list[Asked]:
    """Return `count` overrides, of which about one in eight has another key than a setting's."""
    return [_override(draw, draw.choice(settings), draw.choice(groups)) for _ in range(count)]


def _override(draw: random.Random, setting: Setting, group: str) -> Asked:
    key, value, chance = setting.key, value_of(draw, setting.annotation, setting.limits), draw.random()
    if chance < 0.72 and value is not UNKNOWN:
        return Asked(key, f"{draw.choice(('', '', '', '++'))}{key}={text_of(value)}", value)
    if chance < 0.88:
        return Asked(key, f"{key}={draw.choice(TEXTS)}", UNKNOWN)
    odd = _odd_key(draw, key, group)
    text = "" if odd.startswith("~") else f"={draw.choice((*TEXTS, '1', 'resnet20'))}"
    return Asked(odd.lstrip("+~"), odd + text, UNKNOWN)


def _odd_key(draw: random.Random, key: str, group: str) -> str:
    place, sign = draw.randrange(len(key)), draw.choice(string.printable)
    return draw.choice(
        (
            *(f"~{key}", f"+{key}", f"{key}.a", f"{key}.0", key.replace(".", ".."), f".{key}", f"{key}.", key.upper()),
            *(key[:place] + key[place + 1 :], key[:place] + sign + key[place:], key.rpartition(".")[0], "", "=", "é"),
            *(
                group,
                f"~{group}",
                f"+{group}",
                f"{group}@x",
                f"{group}@_global_",
                f"{key}@x",
                f"{key}@_global_",
                f"{group}/x",
                f"{group}._target_",
            ),
            *(
                "hydra",
                "hydra.run.dir",
                "hydra/launcher",
                "hydra.mode",
                "hydra.searchpath",
                "hydra.job",
                "defaults",
                "_target_",
            ),
            *(
                "sweep.retries",
                "experiment",
                "scale",
                "rows",
                "frozen",
                "paths",
                "numbers",
                "seed.x",
                "x" * 250,
                "\x00",
            ),
            *("[0]", "a[0]", "${seed}", f"{group}.x"),
        )
    )
