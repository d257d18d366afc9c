"""A draft of ``acquisition.json``: what was found in an acquisition, and what is asked of its operator."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spherovem_core.errors import AcquisitionError
from spherovem_core.ingest import locations
from spherovem_core.ingest.problems import problem_lines
from spherovem_core.ingest.source_files import DESCRIPTION, description_path
from spherovem_core.ingest.survey import AcquisitionReport

FOUND, ASKED = "_found", "_asked"


def draft_description(
    report: AcquisitionReport, suspicious: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Draft the description of an acquisition.

    Entries that the files answer stay null, so that the files go on deciding and go on being checked against each other. What was
    found stands under ``_found``, what to complete under ``_asked``; neither has a meaning for the pipeline.

    Parameters
    ----------
    report
        The survey of the acquisition.
    suspicious
        Reasons why slices stand out, by their numbers, for the operator to choose from.
    """
    stack = report.stack
    known = any(stack.spacing_nm)
    found: dict[str, Any] = {
        "files": report.file_count,
        "slice_numbers": [stack.numbers[0], stack.numbers[-1]],
        "shape": list(stack.shape),
        "type": stack.dtype.name,
        "spacing_nm": list(stack.spacing_nm) if known else None,
        "spacing_nm_from": stack.spacing_origin or None,
        "databar_rows": stack.metadata["databar_rows"],
    }
    if suspicious:
        found["slices_that_stand_out"] = dict(suspicious)
    return {
        "spacing_nm": [None, None, None],
        "slice_count": len(stack.numbers) if known or stack.shape[0] else None,
        "exclude_slices": {},
        ASKED: _questions(report, suspicious or {}),
        FOUND: found,
    }


def write_draft(source: Path, draft: Mapping[str, Any]) -> Path:
    """Write a draft beside the slices.

    Raises
    ------
    AcquisitionError
        If there is a description already, which stays as it is; if the slices are not on disk.
    """
    path = description_path(source)
    if locations.is_remote(path):
        raise AcquisitionError(
            f"{locations.shown(path)} is not on disk, and sources in buckets and on servers are only read; write it by hand, and "
            "upload it there"
        )
    text = json.dumps(draft, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    exists = f"{path} exists and is left as it is; edit it, or move it away to write a new one"
    if path.exists():
        raise AcquisitionError(exists)
    fresh = path.with_name(f".{DESCRIPTION}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    try:
        # A link appears whole and never replaces a file that another process wrote meanwhile.
        path.hardlink_to(fresh)
    except FileExistsError as error:
        raise AcquisitionError(exists) from error
    except OSError:
        # Some network drives know no links.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    finally:
        fresh.unlink()
    return path


def _questions(report: AcquisitionReport, suspicious: Mapping[str, str]) -> list[str]:
    stack = report.stack
    about_spacing = [problem for problem in report.problems if problem.about == "spacing"]
    others = [problem for problem in report.problems if problem.about != "spacing"]
    questions: list[str] = []
    if about_spacing:
        lines: Sequence[str] = problem_lines(about_spacing, stack.source.name)
        questions += [f"spacing_nm: voxel size [z, y, x] in nm; {line}" for line in lines]
    else:
        sides = ", ".join(f"{side:g}" for side in stack.spacing_nm)
        questions.append(f"spacing_nm: is [{sides}] nm right? Leave null what the files state rightly")
    questions.append(
        f"slice_count: {len(stack.numbers)} slice numbers were found; were so many slices acquired?"
    )
    if suspicious:
        questions.append(
            "exclude_slices: slices that stand out are listed under _found; name those to leave out, with the reason"
        )
    questions += [f"to mend: {line}" for line in problem_lines(others, stack.source.name)]
    return questions
