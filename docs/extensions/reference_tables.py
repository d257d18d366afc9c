"""Directives that fill pages from the code: parameters, stages, settings, arrays, columns, commands, licences."""

import io
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from importlib import metadata
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
    """Base of the directives: one that writes Markdown."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown of the directive."""
        parent = nodes.container()
        lines = StringList(list(self.markdown()), source=self.get_source_info()[0])
        self.state.nested_parse(lines, self.content_offset, parent)
        return parent.children

    def markdown(self) -> Iterable[str]:
        """Return lines of Markdown."""
        raise NotImplementedError


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Format rows as a Markdown table."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def model_tables(defaults: BaseModel) -> Iterator[str]:
    """Describe the fields of a parameter model: name, default, bounds or choices, description.

    Fields marked with ``json_schema_extra={"expert": True}`` come after the others in a table of their own, groups within
    the model after both under their name.
    """
    schema = type(defaults).model_json_schema(mode="serialization")
    definitions = schema.get("$defs", {})
    groups = {name: value for name, value in defaults if isinstance(value, BaseModel)}
    everyday: list[Sequence[str]] = []
    expert: list[Sequence[str]] = []
    for name, field in schema["properties"].items():
        if name not in groups:
            default = as_default(getattr(defaults, name))
            row = (f"`{name}`", default, bounds(field, definitions), field["description"])
            (expert if field.get("expert") else everyday).append(row)
    header = ("parameter", "default", "values", "meaning")
    if everyday:
        yield from (*table(header, everyday), "")
    if expert:
        yield from ("Expert parameters, which rarely need a change:", "", *table(header, expert), "")
    for name, group in groups.items():
        description = str(type(defaults).model_fields[name].description or "").rstrip(".")
        yield from (f"**`{name}`**: {description}", "", *model_tables(group))


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
    """Format a number without exponent, with its thousands set apart."""
    return f"{int(value):,}".replace(",", "\u202f") if value == int(value) else f"{value:g}"


def bounds(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Describe the choices or limits of a field of a JSON schema."""
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
    """Tables of the parameters of one stage, or of any other model by its own name.

    A stage is named as in `PipelineParameters`; ``stage.group`` names a group within it.
    """

    required_arguments = 1

    def markdown(self) -> Iterator[str]:
        """Return the tables."""
        from spherovem_core import parameters

        first, *rest = self.arguments[0].split(".")
        if first not in parameters.PipelineParameters.model_fields:
            return model_tables(getattr(parameters, first)())
        group: BaseModel = parameters.PipelineParameters()
        for name in (first, *rest):
            group = getattr(group, name)
        return model_tables(group)


class StageTable(Generated):
    """Table of the stages, with a link to the page of each."""

    def markdown(self) -> Iterator[str]:
        """Return the table."""
        from spherovem_core.stages import STAGE_SUMMARIES

        rows = [
            (str(number), stage_link(self.env.found_docs, name), summary)
            for number, (name, summary) in enumerate(STAGE_SUMMARIES.items(), start=1)
        ]
        return table(("", "stage", "purpose"), rows)


class StepTable(Generated):
    """Table of the steps of the registry, with their inputs and outputs."""

    def markdown(self) -> Iterator[str]:
        """Return the table."""
        return table(("stage", "step", "version", "reads from", "writes"), step_rows())


def step_rows() -> list[tuple[str, ...]]:
    """Return stage, name, version, producers of the inputs and outputs of every step."""
    from spherovem_core.registry import PIPELINE

    rows = []
    for step in PIPELINE.steps:
        producers = ", ".join(producer.name for producer in PIPELINE.producers(step))
        reads = "all steps before" if step.reads_everything else producers
        outputs = ", ".join(f"`{output.path}`" for output in step.outputs)
        rows.append((step.stage, step.name, str(step.version), reads or "the acquired files", outputs))
    return rows


def stage_link(pages: Collection[str], name: str) -> str:
    """Return the name of a stage as a link to its page; the plain name where it has none."""
    return f"[{name}](/stages/{name}.md)" if f"stages/{name}" in pages else name


class SettingsTable(Generated):
    """Table of the settings of a machine, with their variables."""

    def markdown(self) -> Iterator[str]:
        """Return the table."""
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
        return table(("variable", "default", "meaning"), rows)


class Arrays(Generated):
    """Table of the arrays of the volume."""

    def markdown(self) -> Iterator[str]:
        """Return the table."""
        from spherovem_core.schema import arrays

        rows = [
            (f"`{array.group}`", array.axes, " or ".join(array.types), array.unit or "–", array.meaning)
            for array in arrays()
        ]
        return table(("group", "axes", "type", "unit", "content"), rows)


class AcquisitionEntries(Generated):
    """Table of the entries of ``acquisition.json`` with a meaning."""

    def markdown(self) -> Iterator[str]:
        """Return the table."""
        from spherovem_core.ingest.description import AcquisitionEntries

        fields = AcquisitionEntries.model_fields
        return table(
            ("entry", "meaning"), [(f"`{name}`", field.description or "") for name, field in fields.items()]
        )


class Columns(Generated):
    """Table of the columns of one table, by its path."""

    required_arguments = 1

    def markdown(self) -> Iterator[str]:
        """Return the table."""
        from spherovem_core.schema import tables

        (described,) = [entry for entry in tables() if entry.path == self.arguments[0]]
        yield f"`{described.path}`: one row for each {described.row.removeprefix('a ').removeprefix('an ')}."
        yield ""
        rows = [(f"`{c.name}`", c.unit or "–", c.type, c.meaning) for c in described.columns]
        yield from table(("column", "unit", "type", "content"), rows)


class Files(Generated):
    """Table of the other files of a results folder."""

    def markdown(self) -> Iterator[str]:
        """Return the table."""
        from spherovem_core.schema import files

        return table(("file", "content"), [(f"`{file.path}`", file.meaning) for file in files()])


class CommandHelp(Generated):
    """Help of the program or of one command, which may be one of a group."""

    optional_arguments = 2

    def markdown(self) -> Iterator[str]:
        """Return a block of text."""
        return fenced(help_text(*self.arguments))


def help_text(*command: str) -> str:
    """Return the output of the command line in a terminal of 80 columns."""
    from deployments.command_line.main import main

    shown = io.StringIO()
    with redirect_stdout(shown), mock.patch.dict(os.environ, {"COLUMNS": "80"}):
        code = main([*command, "--help"])
    if code:
        raise RuntimeError(f"spherovem {' '.join(command)} --help ended with exit code {code}")
    return shown.getvalue().strip()


def add_command_sections(app: Sphinx, page: str, source: list[str]) -> None:
    """Add a section per command to the page about the command line; directives cannot make sections."""
    if page != "command-line":
        return
    from deployments.command_line.commands import all_commands, load_commands

    for command, _ in all_commands(load_commands()):
        level = "#" * (2 + command.count(" "))
        source[0] += "\n".join(["", f"{level} {command}", "", f"```{{command-help}} {command}", "```", ""])


def fenced(text: str) -> Iterator[str]:
    """Return a block of plain text."""
    yield from ("```text", *text.splitlines(), "```")


class SceneTable(Generated):
    """Table of the scenes of a phantom."""

    def markdown(self) -> Iterator[str]:
        """Return the table."""
        from spherovem_core.synthetic.phantom import SCENES

        return table(
            ("scene", "what the images show", "parameters it sets"),
            [
                (
                    f"`{scene.name}`",
                    scene.summary,
                    ", ".join(f"`{name}={value}`" for name, value in scene.sets.items()),
                )
                for scene in SCENES.values()
            ],
        )


class PhantomParameterTable(Generated):
    """Tables of the parameters of a phantom."""

    def markdown(self) -> Iterator[str]:
        """Return the tables."""
        from spherovem_core.synthetic.phantom import PhantomParameters

        return model_tables(PhantomParameters())


class LandingOutcomes(Generated):
    """Table of the actions of the watcher on the content of a landing folder, from its docstring."""

    def markdown(self) -> Iterator[str]:
        """Turn the table of the docstring into Markdown."""
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
    """Table of the licences of the packages that spherovem requires itself."""

    def markdown(self) -> Iterator[str]:
        """Return the table."""
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
    "stage-table": StageTable,
    "step-table": StepTable,
    "settings": SettingsTable,
    "arrays": Arrays,
    "columns": Columns,
    "acquisition-json": AcquisitionEntries,
    "files": Files,
    "command-help": CommandHelp,
    "scene-table": SceneTable,
    "phantom-parameters": PhantomParameterTable,
    "landing-outcomes": LandingOutcomes,
    "licences": Licences,
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.connect("source-read", add_command_sections)
    return {"parallel_read_safe": True}
