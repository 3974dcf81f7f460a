"""Configurations as frozen dataclasses with a closed schema: read from and written to plain JSON values.

Whatever is unknown, missing or of the wrong type is an error that names the key, what was given and what is expected.
"""

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from magvit2.errors import ConfigError

T = TypeVar("T")


def from_dict(cls: type[T], values: Any, where: str = "config") -> T:
    """Build the dataclass `cls` from a dict of JSON values. Raises ConfigError, naming the key by its path."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: got {values!r}, expected a table of settings")
    hints = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            meant = did_you_mean(key, known)
            raise ConfigError(f"{where}: unknown key {key!r}; the known keys are {', '.join(known)}{meant}")
    converted = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    missing = [field.name for field in dataclasses.fields(cls) if _is_required(field) and field.name not in values]  # type: ignore[arg-type]
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)}")
    return cls(**converted)


def read_json(cls: type[T], path: Path) -> T:
    """Build the dataclass `cls` from a JSON file. Raises ConfigError where it cannot be read or does not fit."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error})") from error
    return from_dict(cls, values, str(path))


def to_dict(config: Any) -> dict[str, Any]:
    """Return a dataclass as JSON values: tuples become lists, nested dataclasses become dicts."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def changed_settings(config: Any) -> dict[str, Any]:
    """Return as JSON values what differs from the defaults: a name for `config` that outlives new settings."""
    fields = dataclasses.fields(config)
    return {f.name: _plain(getattr(config, f.name)) for f in fields if getattr(config, f.name) != f.default}


def with_settings(config: T, settings: Sequence[str]) -> T:
    """Return `config` with settings such as `"model.base_channels=64"` applied; values are JSON or bare words."""
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"setting {setting!r}: expected PATH=VALUE, such as num_steps=1000")
        try:
            config = _replaced(config, path.split("."), _parse(text), path)
        except _UnknownKeyError as error:
            raise ConfigError(f"{error}{did_you_mean(path, _paths(config))}") from None
    return config


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'videos'?" for the nearest of the known names, those that end in `.word` first, or ""."""
    names = list(known)
    near = [name for name in names if name.endswith(f".{word}")] or difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


class _UnknownKeyError(ConfigError):
    """A setting's path leads nowhere."""


def _paths(config: Any, above: str = "") -> Iterator[str]:
    """Yield the paths of all settings, those of tables within it too."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        yield above + field.name
        if dataclasses.is_dataclass(value):
            yield from _paths(value, f"{above}{field.name}.")


def _replaced(config: Any, path: list[str], value: Any, where: str) -> Any:
    hints = typing.get_type_hints(type(config))
    if path[0] not in hints:
        raise _UnknownKeyError(f"setting {where}: unknown key {path[0]!r}; the known keys are {', '.join(hints)}")
    if len(path) == 1:
        return dataclasses.replace(config, **{path[0]: _convert(hints[path[0]], value, where)})
    inner = getattr(config, path[0])
    if not dataclasses.is_dataclass(inner):
        raise ConfigError(f"setting {where}: {path[0]} has no settings of its own")
    return dataclasses.replace(config, **{path[0]: _replaced(inner, path[1:], value, where)})


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is typing.Literal:
        known = [argument for argument in arguments if isinstance(argument, str)]
        meant = did_you_mean(value, known) if isinstance(value, str) else ""
        return _checked(value in arguments, value, where, f"one of {', '.join(map(repr, arguments))}{meant}")
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_dict(hint, value, where)  # type: ignore[arg-type]
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(_checked(is_number, value, where, "a number"))
    fits = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    return _checked(fits, value, where, f"a value of type {hint.__name__}")


def _convert_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None:
        return _checked(type(None) in arguments, value, where, "a value")
    (hint,) = [argument for argument in arguments if argument is not type(None)]
    return _convert(hint, value, where)


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _checked(isinstance(value, list | tuple), value, where, "a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    _checked(len(arguments) == len(value), value, where, f"{len(arguments)} values")
    return tuple(_convert(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(arguments, value, strict=True)))


def _checked(fits: bool, value: Any, where: str, expected: str) -> Any:
    if not fits:
        raise ConfigError(f"{where}: got {value!r}, expected {expected}")
    return value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
