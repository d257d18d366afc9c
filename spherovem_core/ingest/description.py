"""``acquisition.json``: the description of an acquisition by the operator or the microscope's software."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from spherovem_core.ingest import locations
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.source_files import DESCRIPTION, description_path
from spherovem_core.ingest.strict_json import read_strict_json
from spherovem_core.ingest.voxel_size import VoxelSize
from spherovem_core.parameters import IngestParameters
from spherovem_core.parameters.exclusions import ExcludedSlices
from spherovem_core.spacing import LARGEST_SIDE_NM, SMALLEST_SIDE_NM

SCHEMA_FILE = Path(__file__).with_name("templates") / "acquisition.schema.json"
SCHEMA_LINK = "$schema"
Length = Annotated[float, Field(ge=SMALLEST_SIDE_NM, le=LARGEST_SIDE_NM)]


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a name is there twice")
    return names


FileNames = Annotated[tuple[str, ...], AfterValidator(_once)]


def _entry(expected: str, description: str, **schema: JsonValue) -> Any:
    """Declare an entry that may be left out; `expected` completes the message about a value that cannot be used."""
    extra: dict[str, JsonValue] = {"expected": expected, **schema}
    return Field(default=None, description=description, json_schema_extra=extra)


class AcquisitionEntries(BaseModel):
    """Entries of `acquisition.json` with a meaning; others, such as the operator's name, are kept in the history.

    To add an entry, add a field here: messages, the published schema and the documentation follow.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", title="acquisition.json of spherovem")

    spacing_nm: tuple[Length | None, Length | None, Length | None] | None = _entry(
        f"three numbers [z, y, x] in nm, from {SMALLEST_SIDE_NM:g} to {LARGEST_SIDE_NM:g}",
        "Voxel size [z, y, x] in nm. For an axis with null, the metadata of the files decide, as in [60, null, null].",
    )
    slice_count: Annotated[int, Field(gt=0)] | None = _entry(
        "a positive whole number",
        "Number of slices that the acquisition should have, excluded ones among them; another number of slices is an error.",
    )
    series: str | None = _entry(
        "the name of a series, such as InLens",
        "Series of slices that is read, of several in the folder: a part of the file names that it alone has. The parameter "
        "ingest.series counts before it.",
    )
    files: FileNames | None = _entry(
        "the names of the slice files in order, each once",
        "Names of the slice files in order, where their names do not tell it; files that are not listed are left out.",
        uniqueItems=True,
    )
    exclude_slices: ExcludedSlices | None = _entry(
        'slices with a reason, such as {"12-18": "charging", "slice_0042.tif": "fold"}',
        "Slices to leave out, each with the reason: a slice number, FIRST-LAST or the name of a file. They count in addition "
        "to the parameter ingest.exclude_slices.",
        anyOf=[
            {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
            {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:.*\\S"}},
            {"type": "null"},
        ],
    )


@dataclass(frozen=True)
class Description:
    """Content of ``acquisition.json``; empty if there is none.

    Attributes
    ----------
    content
        All entries, kept in the array's history.
    entries
        Those with a meaning; one that cannot be used is None.
    faults
        Problem of each entry that cannot be used, by its name; that of the file by an empty name.
    """

    content: Mapping[str, Any] = field(default_factory=dict)
    entries: AcquisitionEntries = field(default_factory=AcquisitionEntries)
    faults: Mapping[str, Problem] = field(default_factory=dict)

    @property
    def voxel_size(self) -> VoxelSize | None:
        """Voxel size; None if nothing is stated."""
        if self.entries.spacing_nm is None:
            return None
        return VoxelSize.from_axes(*self.entries.spacing_nm, DESCRIPTION)

    @property
    def slice_count(self) -> int | None:
        """Number of slices that the acquisition should have; None if it is not stated."""
        return self.entries.slice_count

    @property
    def series(self) -> str:
        """Series of slices that is read, of several in the folder; empty for all files."""
        return self.entries.series or ""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the slice files in order; empty to go by the names."""
        return self.entries.files or ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of the file and of its entries."""
        return tuple(self.faults.values())


def read_description(source: Path) -> Description:
    """Read the description in the source folder or beside the multi-page file."""
    path = description_path(source)
    if not locations.is_file(path):
        return Description()
    try:
        content = read_strict_json(path)
    except ValueError as error:
        return Description(faults={"": _problem(f"is not valid JSON ({error}); correct or remove it")})
    if not isinstance(content, dict):
        return Description(faults={"": _problem('holds no object; expected {"spacing_nm": [z, y, x]}')})
    faults = dict(_unknown(content))
    try:
        entries = AcquisitionEntries.model_validate_json(json.dumps(content))
    except ValidationError as error:
        wrong = {str(item["loc"][0]): item["msg"] for item in error.errors(include_url=False)}
        faults |= {name: _wrong_value(name, content[name], message) for name, message in wrong.items()}
        usable = {name: value for name, value in content.items() if name not in wrong}
        entries = AcquisitionEntries.model_validate_json(json.dumps(usable))
    return Description(content, entries, faults)


def description_schema() -> dict[str, Any]:
    """Return the JSON schema of ``acquisition.json`` (draft 2020-12), as it is published."""
    schema = AcquisitionEntries.model_json_schema()
    properties = schema["properties"]
    for entry in properties.values():
        del entry["expected"], entry["title"], entry["default"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": schema["title"],
        "description": " ".join(schema["description"].split("\n\n")[0].split()),
        "type": "object",
        "properties": {SCHEMA_LINK: {"type": "string", "description": "Link to this schema."}, **properties},
        "additionalProperties": True,
    }


def _unknown(content: Mapping[str, Any]) -> Iterator[tuple[str, Problem]]:
    """Report entries whose name is nearly that of one with a meaning: without a word, they would have none."""
    known = list(AcquisitionEntries.model_fields)
    exclusions = ("exclude", "exclusion", "skip_slice", "bad_slice", "ignore_slice", "omit_slice")
    lengths = ("voxel_size", "voxelsize", "pixel_size", "pixelsize", "pixel_nm", "spacing", "slice_thickness")
    for name in content:
        if name in known or name == SCHEMA_LINK:
            continue
        plain = name.lower().replace("-", "_").replace(" ", "_")
        if plain in IngestParameters.model_fields and plain not in (*known, "dataset"):
            yield (
                name,
                _problem(
                    f"{name} is a parameter, which has no meaning here; give it with --set ingest.{plain}=VALUE, and remove it"
                ),
            )
            continue
        near = difflib.get_close_matches(plain, known, 1, 0.72)
        near += [entry for entry in known if len(plain) >= 7 and entry.startswith(plain)]
        if not near and plain.startswith(lengths):
            near = ["spacing_nm"]
        if not near and plain.startswith(exclusions):
            near = ["exclude_slices"]
        if near:
            expected = AcquisitionEntries.model_fields[near[0]].json_schema_extra
            wanted = expected["expected"] if isinstance(expected, dict) else ""
            yield (
                name,
                _problem(f"{name} has no meaning; expected {near[0]} with {wanted}; correct or remove it"),
            )


def _wrong_value(name: str, value: object, message: str) -> Problem:
    extra = AcquisitionEntries.model_fields[name].json_schema_extra
    expected = extra["expected"] if isinstance(extra, dict) else message
    detail = message.removeprefix("Value error, ") if message.startswith("Value error, ") else ""
    return _problem(f"{name} is {_short(value)}; expected {expected}" + (f" ({detail})" if detail else ""))


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]} …"


def _problem(found: str) -> Problem:
    return Problem(found, DESCRIPTION, about="description")


def publish_schema() -> None:
    """Write the JSON schema into the package, after a change of `AcquisitionEntries`."""
    text = json.dumps(description_schema(), indent=2, ensure_ascii=False) + "\n"
    SCHEMA_FILE.write_text(text, encoding="utf-8")
