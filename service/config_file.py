"""Reads the configuration file: YAML, `${NAME}` from the environment, errors that name the key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from service.config import Config
from service.mendable import ConfigError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Braces cannot stand in a plain scalar of a flow mapping, and a value put in before parsing could
# change the file's structure: so a variable is a private-use word until the YAML has been read.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKED = re.compile(f"{_OPEN}([A-Za-z0-9_]+){_CLOSE}")

# What YAML's errors quote: a character, the name of a token, or more of the file than may be told.
_QUOTED = re.compile(r"'([^']*)'")


class _RepeatedKeyError(yaml.MarkedYAMLError):
    """What we call wrong ourselves."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets a repeated key replace the first; in a configuration that hides a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise _RepeatedKeyError(
                    problem=f"the key {key!r} appears twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read and check the file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return parse(text, environ)


def parse(text: str, environ: Mapping[str, str]) -> Config:
    """Check a configuration given as YAML. Raises ConfigError."""
    try:
        # The loader only adds a check to SafeLoader.
        marked = _VARIABLE.sub(f"{_OPEN}\\1{_CLOSE}", text)
        data = yaml.load(marked, _UniqueKeyLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"not YAML: {_problem(error)}") from None
    if not isinstance(data, dict):
        raise ConfigError("must be a mapping with the keys server, providers, models, keys")
    data = _expand(data, environ, "")
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(error))) from None


def _problem(error: Exception) -> str:
    """Return what is wrong and where, without the line it is in: that can hold a secret."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error)
    said = [text for text in (error.context, error.problem) if text]
    if not isinstance(error, _RepeatedKeyError):
        said = [_QUOTED.sub(_harmless, text) for text in said]
    mark = error.problem_mark or error.context_mark
    if mark is not None:
        said.append(f"in line {mark.line + 1}, column {mark.column + 1}")
    return ", ".join(said)


def _harmless(quoted: re.Match[str]) -> str:
    known = len(quoted[1]) <= 2 or quoted[1].startswith("<")
    return quoted[0] if known else "..."


def _expand(value: object, environ: Mapping[str, str], key: str) -> Any:
    """Replace `${NAME}` in every string by the environment's value."""
    if isinstance(value, dict):
        return {k: _expand(v, environ, f"{key}.{k}" if key else str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, environ, f"{key}.{i}") for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environ:
            raise ConfigError(f"{key}: the environment variable {name} is not set")
        return environ[name]

    return _MARKED.sub(replace, value)


def _lines(error: ValidationError) -> list[str]:
    lines = []
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    for fault in faults:
        if any(_inside(other["loc"], fault["loc"]) for other in faults):
            continue  # a list with a bad item is called too short as well: the item says it better
        key = ".".join(str(part) for part in fault["loc"] if part != "[key]")
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "there is no such key"
        lines.append(f"{key}: {message}" if key else message)
    return lines


def _inside(inner: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer
