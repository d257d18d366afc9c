"""``spherovem inspect`` of a source: facts, contact sheet, and a draft of its description."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.command_line.arguments import BadArgumentsError
from deployments.command_line.inventory_texts import format_spacing, source_text
from spherovem_core.urls import absolute, shown

if TYPE_CHECKING:
    from spherovem_core.ingest import AcquisitionReport
    from spherovem_core.ingest.overview import Overview

Document = dict[str, Any]


@dataclass(frozen=True)
class SourceOptions:
    """Options of a look at a source.

    Attributes
    ----------
    pixels
        Read every slice, to find blank, saturated and damaged ones.
    series
        Series of slices to look at where the source holds several; empty for the only one.
    dataset
        Dataset to look at where the source holds several; None for the only one.
    sheet
        Folder to write the contact sheet to.
    write_description
        Write a draft of ``acquisition.json``.
    spacing_nm
        Voxel size in nm (z, y, x) that replaces the one of the source; None to take that.
    """

    pixels: bool = False
    series: str = ""
    dataset: str | None = None
    sheet: Path | None = None
    write_description: bool = False
    spacing_nm: tuple[float, float, float] | None = None


def inspect_source(path: Path, options: SourceOptions) -> tuple[Document, str]:
    """Describe an acquisition as the microscope wrote it.

    Raises
    ------
    BadArgumentsError
        If the sheet cannot be written there.
    AcquisitionError
        If a draft is asked for and there is a description already.
    """
    from spherovem_core.ingest import survey_stack
    from spherovem_core.ingest.checks import content_problems
    from spherovem_core.ingest.problems import problem_lines
    from spherovem_core.parameters import IngestParameters

    sheet = options.sheet
    _check_folder(path, sheet)
    parameters = IngestParameters(
        series=options.series, dataset=options.dataset, spacing_nm=options.spacing_nm
    )
    report = survey_stack(path, parameters)
    problems = list(report.problems)
    if options.pixels:
        problems += content_problems(report.stack, {problem.file for problem in problems})
    document = source_document(path, report, problem_lines(problems, path.name))
    text = source_text(document)
    suspicious: dict[str, str] = {}
    if sheet is not None:
        overview = _look(report)
        found = overview.suspicious
        suspicious = {
            str(number): reason for number, reason in zip(found["number"], found["suspicion"], strict=True)
        }
        document["sheet"] = _write_sheet(path, sheet, document, report, overview)
        document["looked_at"] = {"step": overview.step, "slices": len(overview.table)}
        document["curves"] = _curves(overview)
        document["stand_out"] = suspicious
        text += _sheet_text(document)
    if options.write_description:
        from spherovem_core.ingest.description_draft import draft_description, write_draft

        written = write_draft(path, draft_description(report, suspicious))
        document["description"] = str(written.absolute())
        text += f"\n\n{written}: complete it and delete what is not needed"
    return document, text


def source_document(path: Path, report: "AcquisitionReport", faults: Sequence[str]) -> Document:
    """Return the facts of a source as a JSON document."""
    stack = report.stack
    return {
        "kind": "source",
        "path": shown(absolute(path)),
        "files": report.file_count,
        "bytes": report.file_bytes,
        "shape": list(stack.shape),
        "dtype": stack.dtype.name,
        "spacing_nm": list(stack.spacing_nm) if any(stack.spacing_nm) else None,
        "spacing_origin": stack.spacing_origin or None,
        "slice_numbers": [stack.numbers[0], stack.numbers[-1]],
        "missing_slices": [n for n, lost in zip(stack.numbers, stack.missing, strict=True) if lost],
        "metadata": dict(stack.metadata),
        "faults": list(faults),
    }


def _check_folder(path: Path, sheet: Path | None) -> None:
    if sheet is None:
        return
    if sheet.exists() and not sheet.is_dir():
        raise BadArgumentsError(f"--sheet {sheet} is a file; name a folder")
    source = path if path.is_dir() else path.parent
    if sheet.absolute().resolve() == source.absolute().resolve():
        raise BadArgumentsError(
            f"--sheet {sheet} holds the slices; name another folder, so that the source stays as it is"
        )


def _look(report: "AcquisitionReport") -> "Overview":
    from spherovem_core.errors import NoSlicesError
    from spherovem_core.ingest.overview import look_over

    if not all(report.stack.shape):
        raise NoSlicesError(
            f"{shown(report.stack.source)}: no slice can be read, so that there is nothing to show"
        )
    return look_over(report.stack)


def _write_sheet(
    path: Path, folder: Path, document: Document, report: "AcquisitionReport", overview: "Overview"
) -> dict[str, str]:
    """Write the contact sheet as HTML and PNG; earlier ones of the same source are replaced."""
    from spherovem_core.ingest.overview import make_contact_sheet, sheet_page, sheet_picture
    from spherovem_core.store.files import write_bytes, write_text

    name = path.absolute().name if path.is_dir() else path.stem
    sheet = make_contact_sheet(report.stack, overview)
    spacing = document["spacing_nm"]
    facts = [
        ("Source", document["path"]),
        (
            "Slices",
            f"{document['shape'][0]} of {document['shape'][1]} × {document['shape'][2]} pixels, {document['dtype']}",
        ),
        (
            "Voxel size",
            f"{format_spacing(spacing)} ({document['spacing_origin']})" if spacing else "not found",
        ),
        ("Faults", "; ".join(document["faults"]) or "none"),
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page, picture = folder / f"{name}-slices.html", folder / f"{name}-slices.png"
        write_text(page, sheet_page(name, facts, overview, sheet))
        write_bytes(picture, sheet_picture(name, overview, sheet))
    except OSError as error:
        raise BadArgumentsError(
            f"--sheet {folder} cannot be written ({error.strerror}); name another folder"
        ) from error
    return {"html": str(page.absolute()), "png": str(picture.absolute())}


def _curves(overview: "Overview") -> Document:
    """Return the curves as lists; None where a slice has no value."""
    table = overview.table.drop(columns=["file", "suspicion", "z"])
    return {
        column: [None if value != value else value for value in table[column].tolist()]
        for column in table.columns
    }


def _sheet_text(document: Document) -> str:
    step, count = document["looked_at"]["step"], document["looked_at"]["slices"]
    lines = [f"looked at   {count} slices" + ("" if step == 1 else f", one in {step}")]
    found = document["stand_out"]
    lines.append(f"stand out   {len(found) or 'none'}")
    lines += [f"  - {number}: {reason}" for number, reason in list(found.items())[:20]]
    if len(found) > 20:
        lines.append(f"  - and {len(found) - 20} more")
    lines.append(f"sheet       {document['sheet']['html']}")
    lines.append(f"            {document['sheet']['png']}")
    return "\n" + "\n".join(lines)
