"""What options mean, which values they take and what they are where they are not given; and settings as TOML."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

NOT_GIVEN = "not given"
"""What stands for a value that TOML has no word for, Python's None."""

COMMENT_WIDTH = 80
"""Characters in a line of comment, at most."""


@dataclass(frozen=True)
class OptionDescription:
    """What a user should know of an option.

    Attributes:
        option: its dotted path, such as `training.epochs`; one that stands in no group has no dot.
        meaning: what it does, with units.
        allowed: the values that it takes, in words.
        default: its value where none is given, as JSON has it; None means that it is then not given.
    """

    option: str
    meaning: str
    allowed: str
    default: Any

    @property
    def group(self) -> str:
        """The group that it stands in; empty if it stands in none."""
        return self.option.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Its name within the group."""
        return self.option.rpartition(".")[2]

    @property
    def default_text(self) -> str:
        """Its default as TOML has it, or 'not given'."""
        return NOT_GIVEN if self.default is None else value_as_toml(self.default)


def describe_settings(settings: type[BaseModel]) -> list[OptionDescription]:
    """Describes the options of settings and of the groups in them, in the order in which they are declared."""
    schema = _schema(settings)
    return list(_describe(schema, schema.get("$defs", {}), ""))


def describe_groups(settings: type[BaseModel]) -> dict[str, str]:
    """Dotted names of the groups of settings and of the groups in them, and what each is about."""
    schema = _schema(settings)
    return dict(_describe_groups(schema, schema.get("$defs", {}), ""))


def settings_as_toml(settings: BaseModel) -> str:
    """Writes all options of settings and of their groups as TOML, each below a comment that says what it means.

    What it gives can be read again: an option that is None, for which TOML has no word, is a comment.
    """
    values, groups = flatten(settings.model_dump(mode="json")), describe_groups(type(settings))
    lines, group = [], ""
    for described in describe_settings(type(settings)):
        if described.group != group:
            group = described.group
            lines += ["", *_comment(groups[group]), f"[{group}]"]
        lines += _comment(f"{described.meaning} ({described.allowed})")
        value = values[described.option]
        if value is None:
            lines.append(f"# {described.name} is {NOT_GIVEN}")
        else:
            lines.append(f"{described.name} = {value_as_toml(value)}")
    return "\n".join(lines) + "\n"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of nested groups by the dotted paths of their options."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def value_as_toml(value: str | float | list[Any]) -> str:
    """Writes a text, a number, true, false or a list of these as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one sign that only TOML escapes
    if isinstance(value, (int, float)):
        return repr(value)
    return f"[{', '.join(map(value_as_toml, value))}]"


@cache
def _schema(settings: type[BaseModel]) -> dict[str, Any]:
    return settings.model_json_schema()


def _describe(schema: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str) -> Iterator[OptionDescription]:
    for name, field in schema["properties"].items():
        if "$ref" in field:
            yield from _describe(definitions[field["$ref"].rpartition("/")[2]], definitions, f"{prefix}{name}.")
        else:
            yield OptionDescription(prefix + name, field.get("description", ""), _allowed(field), field["default"])


def _describe_groups(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str]]:
    for name, field in schema["properties"].items():
        if "$ref" in field:
            yield prefix + name, field.get("description", "")
            yield from _describe_groups(definitions[field["$ref"].rpartition("/")[2]], definitions, f"{prefix}{name}.")


def _allowed(field: Mapping[str, Any]) -> str:
    """The values that a field of a JSON schema takes, in words."""
    if "anyOf" in field:
        return ", or ".join(map(_allowed, field["anyOf"]))
    if "enum" in field:
        return f"one of {', '.join(map(value_as_toml, field['enum']))}"
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])}, each a {_allowed(field['prefixItems'][0])}"
    if field["type"] == "array":
        return f"list, each item a {_allowed(field['items'])}"
    kinds = {"string": "text", "boolean": "true or false", "null": NOT_GIVEN}
    return kinds[field["type"]] if field["type"] in kinds else _numbers(field)


def _numbers(field: Mapping[str, Any]) -> str:
    whole = field["type"] == "integer"
    kind = "whole number" if whole else "number"
    if "minimum" in field and "maximum" in field:
        return f"{kind} from {field['minimum']:g} to {field['maximum']:g}"
    limits = [
        f"{words} {field[key]}"
        for key, words in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in field
    ]
    return f"{kind} {', '.join(limits)}".strip()


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, COMMENT_WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )
