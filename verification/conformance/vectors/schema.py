"""The part of JSON Schema that the vectors' schemas use, so that checking them needs no further package."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
KNOWN = {
    "$schema",
    "$id",
    "title",
    "description",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "pattern",
    "minItems",
    "minLength",
    "propertyNames",
}


def schema(name: str) -> dict[str, Any]:
    """``manifest`` or ``exchange``."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    return found


def violations(value: Any, rules: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What is wrong with ``value``, each with where it is. A keyword that is not known here is a
    violation."""
    here = path or "the document"
    if unknown := set(rules) - KNOWN:
        yield f"the schema at {here} uses {', '.join(sorted(unknown))}"
    kind = rules.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{here} must be of type {kind}; got {type(value).__name__}"
        return
    if "enum" in rules and value not in rules["enum"]:
        yield f"{here} must be one of {rules['enum']}; got {value!r}"
    if "const" in rules and value != rules["const"]:
        yield f"{here} must be {rules['const']!r}; got {value!r}"
    if isinstance(value, str):
        if "pattern" in rules and not re.search(rules["pattern"], value):
            yield f"{here} must match {rules['pattern']}; got {value!r}"
        if len(value) < rules.get("minLength", 0):
            yield f"{here} must not be empty"
    if isinstance(value, list):
        if len(value) < rules.get("minItems", 0):
            yield f"{here} must have {rules['minItems']} items or more"
        for i, item in enumerate(value):
            yield from violations(item, rules.get("items", {}), f"{path}[{i}]")
    if isinstance(value, dict):
        yield from _object(value, rules, path)


def _object(value: Mapping[str, Any], rules: Mapping[str, Any], path: str) -> Iterator[str]:
    properties, more = rules.get("properties", {}), rules.get("additionalProperties", True)
    for name in rules.get("required", []):
        if name not in value:
            yield f"{path or 'the document'} must have {name}"
    for name, item in value.items():
        yield from violations(name, rules.get("propertyNames", {}), f"{path}: the name {name}")
        if name in properties:
            yield from violations(item, properties[name], f"{path}.{name}")
        elif more is False:
            yield f"{path or 'the document'} must not have {name}"
        elif isinstance(more, dict):
            yield from violations(item, more, f"{path}.{name}")
