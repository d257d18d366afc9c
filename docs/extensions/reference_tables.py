"""Directives that generate Markdown from the code: parameters, settings, arrays, columns, commands, licences."""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from importlib import metadata
from operator import attrgetter
from typing import Any
from unittest import mock

from docutils import nodes
from docutils.statemachine import StringList
from packaging.requirements import Requirement
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

BOUNDS = (
    ("minimum", "≥ {}"),
    ("exclusiveMinimum", "> {}"),
    ("maximum", "≤ {}"),
    ("exclusiveMaximum", "< {}"),
    ("multipleOf", "multiple of {}"),
)


class Generated(SphinxDirective):
    """A directive that writes Markdown."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Parse the lines of `markdown`."""
        parent = nodes.container()
        lines = StringList(list(self.markdown()), source=self.get_source_info()[0])
        self.state.nested_parse(lines, self.content_offset, parent)
        return parent.children

    def markdown(self) -> Iterable[str]:
        """Write the lines of Markdown."""
        raise NotImplementedError


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write a Markdown table."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def model_tables(model: type[BaseModel], defaults: BaseModel) -> Iterator[str]:
    """Write every field of a parameter model: name, default, bounds or choices, description.

    Expert fields, marked as such in the JSON schema, follow in a folded table of their own.
    """
    schema = model.model_json_schema(mode="serialization")
    definitions = schema.get("$defs", {})
    rows: dict[bool, list[Sequence[str]]] = {False: [], True: []}
    for name, field in schema["properties"].items():
        description = model.model_fields[name].description or ""
        row = (f"`{name}`", as_default(getattr(defaults, name)), bounds(field, definitions), description)
        rows[bool(field.get("expert"))].append(row)
    header = ("parameter", "default", "may be", "what it does")
    yield from table(header, rows[False])
    if rows[True]:
        yield from ("", "<details><summary>Expert parameters</summary>", "")
        yield from table(header, rows[True])
        yield from ("", "</details>")


def as_default(value: Any) -> str:
    """Format a default as in YAML."""
    if value is None or value == "" or value == () or value == {}:
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (list, tuple)):
        return f"`[{', '.join(f'{item:g}' if isinstance(item, float) else str(item) for item in value)}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def as_number(value: float) -> str:
    """Format a number without exponent, with thin spaces between thousands."""
    return f"{int(value):,}".replace(",", "\u202f") if value == int(value) else f"{value:g}"


def bounds(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Format the choices or limits of a field of a JSON schema."""
    if "$ref" in field:
        field = {**definitions[field["$ref"].rpartition("/")[2]], **field}
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    limits = [text.format(as_number(field[key])) for key, text in BOUNDS if key in field]
    if limits:
        return ", ".join(limits)
    if "anyOf" in field:
        parts = [bounds(part, definitions) for part in field["anyOf"] if part.get("type") != "null"]
        return ", ".join(part for part in parts if part)
    if field.get("type") == "array":
        inner = field.get("prefixItems", [field.get("items", {})])[0]
        count = field.get("maxItems")
        found = bounds(inner, definitions)
        return " ".join(part for part in (f"{count} numbers" if count else "numbers", found) if part)
    return {
        "boolean": "`true`, `false`",
        "string": "text",
        "integer": "whole number",
        "number": "number",
    }.get(field.get("type", ""), "")


class Parameters(Generated):
    """Parameters of a group, by its path such as ``segmentation.cells``, or of another model by its own name."""

    required_arguments = 1

    def markdown(self) -> Iterator[str]:
        """Write a table, and one for experts."""
        from spherovem_core import parameters

        path = self.arguments[0]
        if path.partition(".")[0] in parameters.PipelineParameters.model_fields:
            defaults = attrgetter(path)(parameters.PipelineParameters())
        else:
            defaults = getattr(parameters, path)()
        return model_tables(type(defaults), defaults)


class SettingsTable(Generated):
    """Settings of a machine, with their environment variables."""

    def markdown(self) -> Iterator[str]:
        """Write one table."""
        from deployments.settings import Settings

        prefix = Settings.model_config["env_prefix"]
        rows = [
            (
                f"`{prefix}{name.upper()}`",
                as_default(field.get_default(call_default_factory=True)),
                field.description or "",
            )
            for name, field in Settings.model_fields.items()
        ]
        return table(("variable", "default", "what it does"), rows)


class Arrays(Generated):
    """Arrays of the volume."""

    def markdown(self) -> Iterator[str]:
        """Write one table."""
        from spherovem_core.store.schema import ARRAYS

        rows = [
            (f"`{array.group}`", array.axes, " or ".join(array.types), array.unit or "–", array.meaning)
            for array in ARRAYS
        ]
        return table(("group", "axes", "type", "unit", "what it holds"), rows)


class Columns(Generated):
    """Columns of one table, by its path."""

    required_arguments = 1

    def markdown(self) -> Iterator[str]:
        """Write one table."""
        from spherovem_core.store.schema import TABLES

        known = {entry.path: entry for entry in TABLES}
        if self.arguments[0] not in known:
            raise self.error(f"{self.arguments[0]} is not a table; choose one of {', '.join(known)}")
        described = known[self.arguments[0]]
        yield f"`{described.path}`: one row for each {described.row.removeprefix('a ')}."
        yield ""
        rows = [(f"`{c.name}`", c.unit or "–", c.type, c.meaning) for c in described.columns]
        yield from table(("column", "unit", "type", "what it holds"), rows)


class Files(Generated):
    """Other files of a results folder."""

    def markdown(self) -> Iterator[str]:
        """Write one table."""
        from spherovem_core.store.schema import FILES

        return table(("file", "what it holds"), [(f"`{file.path}`", file.meaning) for file in FILES])


class CommandHelp(Generated):
    """Help of the program or of one command."""

    optional_arguments = 1

    def markdown(self) -> Iterator[str]:
        """Write a block of text."""
        return fenced(help_text(*self.arguments))


def help_text(*command: str) -> str:
    """Capture the help that the command line prints in a terminal of 80 columns."""
    from deployments.command_line.main import main

    shown = io.StringIO()
    with redirect_stdout(shown), mock.patch.dict(os.environ, {"COLUMNS": "80"}):
        code = main([*command, "--help"])
    if code:
        raise RuntimeError(f"spherovem {' '.join(command)} --help ended with exit code {code}")
    return shown.getvalue().strip()


def add_command_sections(app: Sphinx, page: str, source: list[str]) -> None:
    """Add a section per command to the page on the command line. Directives cannot make sections."""
    if page != "command-line":
        return
    from deployments.command_line.main import Spherovem

    for name in Spherovem.model_fields:
        command = name.replace("_", "-")
        source[0] += "\n".join(["", f"## {command}", "", f"```{{command-help}} {command}", "```", ""])


def fenced(text: str) -> Iterator[str]:
    """Write a block of plain text."""
    yield from ("```text", *text.splitlines(), "```")


class LandingOutcomes(Generated):
    """Decisions of the watcher about a landing folder, from its docstring."""

    def markdown(self) -> Iterator[str]:
        """Write the table of the docstring."""
        import deployments.landing

        lines = (deployments.landing.__doc__ or "").splitlines()
        first, middle, last = [number for number, line in enumerate(lines) if line.startswith("====")]
        border = lines[first].index(" ")
        header, *rows = [
            (line[:border].strip(), line[border:].strip())
            for line in [*lines[first + 1 : middle], *lines[middle + 1 : last]]
        ]
        joined: list[tuple[str, str]] = []
        for left, right in rows:
            if left:
                joined.append((left, right))
            else:
                joined[-1] = (joined[-1][0], f"{joined[-1][1]} {right}")
        return table(header, [tuple(cell.replace("``", "`") for cell in row) for row in joined])


class Licences(Generated):
    """Licences of the direct dependencies of spherovem."""

    def markdown(self) -> Iterator[str]:
        """Write one table."""
        rows = []
        for line in metadata.requires("spherovem") or []:
            requirement = Requirement(line)
            if requirement.marker is None:
                rows.append((requirement.name, licence_of(requirement.name)))
        return table(("package", "licence"), sorted(rows))


def licence_of(package: str) -> str:
    """Return the licence that the installed package states, in a few words."""
    own = metadata.metadata(package)
    classifiers = [
        c.rpartition(" :: ")[2] for c in own.get_all("Classifier") or [] if c.startswith("License")
    ]
    stated = own.get("License-Expression") or own.get("License") or ""
    short = stated if "\n" not in stated and 0 < len(stated) < 60 else ""
    return short or ", ".join(classifiers) or "not stated"


DIRECTIVES: dict[str, type[Generated]] = {
    "parameters": Parameters,
    "settings": SettingsTable,
    "arrays": Arrays,
    "columns": Columns,
    "files": Files,
    "command-help": CommandHelp,
    "landing-outcomes": LandingOutcomes,
    "licences": Licences,
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.connect("source-read", add_command_sections)
    return {"parallel_read_safe": True}
