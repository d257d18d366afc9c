"""Bounds of parameters in words, for forms that check them without showing them."""

from collections.abc import Iterator
from typing import Any

WORDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def say_bounds(schema: dict[str, Any]) -> None:
    """Add the bounds of every number to its description, in the JSON schema of a model.

    For the ``json_schema_extra`` of pydantic. The Prefect UI makes a form of the schema that refuses a number out
    of bounds, but shows nobody what they are.
    """
    for field in schema.get("properties", {}).values():
        bounds = ", ".join(_bounds(field))
        if bounds:
            field["description"] = f"{field.get('description', '')} [{bounds}]".strip()


def _bounds(field: dict[str, Any]) -> Iterator[str]:
    """Bounds of a field, or of the one number among the types that it may have."""
    for kind in (field, *field.get("anyOf", ())):
        yield from (f"{words} {kind[key]:,.12g}" for key, words in WORDS.items() if key in kind)
