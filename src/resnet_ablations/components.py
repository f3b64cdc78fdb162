"""The classes that a configuration names in `_target_`, and the settings that their constructors take."""

import inspect
import pkgutil
import typing
from typing import Any


def resolve(target: str, interface: type = object) -> type:
    """Return the class at a dotted path; raise `ValueError` unless it is a subclass of `interface` in this package."""
    try:
        if not target.startswith("resnet_ablations."):
            raise ImportError
        component = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError):
        component = None
    if not (inspect.isclass(component) and issubclass(component, interface)) or inspect.isabstract(component):
        raise ValueError(f"must name a {interface.__name__} class of resnet_ablations")
    return component


def parameters_of(component: type) -> dict[str, Any]:
    """Return the settings of a class: the keyword-only parameters of its constructor, with their annotations."""
    constructor = inspect.signature(component).parameters.values()
    annotations = typing.get_type_hints(component.__init__, include_extras=True)  # type: ignore[misc]
    return {p.name: annotations[p.name] for p in constructor if p.kind is inspect.Parameter.KEYWORD_ONLY}


def defaults_of(component: type) -> dict[str, Any]:
    """Return the defaults of a class's settings: a setting has one only if frozen configurations exist without it."""
    parameters = inspect.signature(component).parameters.values()
    return {
        p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is not p.empty
    }
