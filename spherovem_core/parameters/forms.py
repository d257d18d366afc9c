"""JSON schema of parameter models for forms: bounds in words, everyday fields before expert ones."""

from collections.abc import Iterator
from typing import Any

WORDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}
EXPERT_TITLE = "(expert)"


def describe_form(schema: dict[str, Any]) -> None:
    """Order the fields of a model's JSON schema and add bounds to their descriptions.

    For the ``json_schema_extra`` of pydantic. The Prefect UI makes a form of the schema. It shows fields by their ``position``,
    without which their order would be lost in PostgreSQL. It refuses a number out of bounds and does not show the bounds.
    """
    properties = schema.get("properties", {})
    for field in properties.values():
        bounds = ", ".join(_bounds(field))
        if bounds:
            field["description"] = f"{field.get('description', '')} [{bounds}]".strip()
        if field.get("expert"):
            field["title"] = f"{field.get('title', '')} {EXPERT_TITLE}".strip()
    schema["properties"] = dict(sorted(properties.items(), key=lambda item: bool(item[1].get("expert"))))
    for position, field in enumerate(schema["properties"].values()):
        field["position"] = position
    if not properties:
        del schema["properties"]


def _bounds(field: dict[str, Any]) -> Iterator[str]:
    """Yield the bounds of a field, or of the one number among the types that it may have."""
    for kind in (field, *field.get("anyOf", ())):
        yield from (f"{words} {kind[key]:,.12g}" for key, words in WORDS.items() if key in kind)
