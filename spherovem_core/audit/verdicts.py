"""Verdicts of a person on a sample: the file to fill in, and its reading."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spherovem_core.audit.sample import AuditSample
from spherovem_core.errors import AuditError

OBJECT_VERDICTS = ("right", "false", "merged", "part")
COLUMNS = ("sample", "item", "label", "verdict", "count", "diameters_um", "note")
LARGEST_COUNT = 1000
SHOWN = 5

HELP = (
    "objects: right, false (no such object), merged (count: the number of objects in it, 2 if empty), part (count: the number of "
    "pieces of the object, 2 if empty); places: the number of objects without a label whose outline's centre lies in the frame, "
    "0 for none, diameters_um: the diameter of each where you can tell"
)


@dataclass(frozen=True)
class Judged:
    """Verdict on one item.

    Attributes
    ----------
    item
        Name on the sheet.
    verdict
        One of `OBJECT_VERDICTS` for an object, ``missed`` for a place.
    count
        Objects in a merged one, pieces of the object that a part belongs to, objects missed at a place; 1 for right and false.
    diameters_um
        Diameters of objects that were missed at a place; may be fewer than `count`.
    note
        Free text.
    """

    item: str
    verdict: str
    count: int
    diameters_um: tuple[float, ...] = ()
    note: str = ""


def empty_verdicts(sample: AuditSample) -> str:
    """Return the file to fill in, as CSV with one line per item."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in sample.objects:
        writer.writerow([sample.identifier, each.item, each.label, "", "", "", ""])
    for place in sample.places:
        writer.writerow([sample.identifier, place.item, "", "", "", "", ""])
    return text.getvalue()


def read_verdicts(path: Path, sample: AuditSample) -> tuple[Judged, ...]:
    """Read a CSV or JSON Lines file of verdicts, one for every item of a sample.

    Raises
    ------
    AuditError
        If it cannot be read, belongs to another sample, names an unknown item, label or verdict, or lacks a verdict.
    """
    rows = _rows(path)
    given = {str(row.get("sample") or "").strip() for row in rows} - {""}
    others = {text for text in given if not _is_same(text, sample.identifier)}
    if others:
        raise AuditError(
            f"{path} holds verdicts on the sample {sorted(others)[0]}, and the drawn sample is {sample.identifier}; "
            "give the file that was written with this sample"
        )
    labels = {each.item: each.label for each in sample.objects} | {each.item: None for each in sample.places}
    found: dict[str, Judged] = {}
    missing = []
    for number, row in enumerate(rows, start=1):
        item = str(row.get("item") or "").strip()
        if item not in labels:
            raise AuditError(
                f"{path}, entry {number}: {item or 'no item'} is not in the sample {sample.identifier}"
            )
        if item in found:
            raise AuditError(
                f"{path}, entry {number}: a second verdict on {item}; expected one for each item"
            )
        _check_label(path, number, item, row, labels[item])
        if not str(row.get("verdict") if row.get("verdict") is not None else "").strip():
            missing.append(item)
            continue
        try:
            found[item] = _judged(item, row, is_place=labels[item] is None)
        except ValueError as error:
            raise AuditError(f"{path}, entry {number}, {item}: {error}. Expected for {HELP}") from error
    missing += [item for item in labels if item not in found and item not in missing]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise AuditError(
            f"{path} has no verdict on {', '.join(missing[:SHOWN])}{more}; expected one for each of the {len(labels)} items: "
            "to leave some out would bias what follows"
        )
    return tuple(found[item] for item in labels)


def _is_same(text: str, identifier: str) -> bool:
    """Compare names of samples. A spreadsheet takes one that looks like a number for one, and writes 1.23457E+11."""
    try:
        return text == identifier or math.isclose(float(text), float(identifier), rel_tol=0.005)
    except ValueError:
        return False


def _rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AuditError(
            f"{path} is not a text file ({error}); expected CSV or one JSON object a line"
        ) from error
    except OSError as error:
        raise AuditError(f"{path} cannot be read ({error.strerror}); expected a file of verdicts") from error
    if text.lstrip().startswith("{"):
        try:
            # Not splitlines: JSON may hold U+2028 and its like within a note.
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError as error:
            raise AuditError(f"{path} is not one JSON object a line: {error}") from error
        if not all(isinstance(row, dict) for row in rows):
            raise AuditError(f"{path}: expected one JSON object a line")
        return rows
    # Spreadsheets of some countries write semicolons.
    head = text.partition("\n")[0]
    separator = ";" if head.count(";") > head.count(",") else ","
    table = csv.DictReader(io.StringIO(text), delimiter=separator)
    if not {"item", "verdict"} <= set(table.fieldnames or ()):
        raise AuditError(
            f"{path} has the columns {', '.join(table.fieldnames or ()) or 'none'}; expected {', '.join(COLUMNS)}"
        )
    rows = list(table)
    if separator == ";":
        # They write 1,5 for 1.5 too.
        rows = [row | {"diameters_um": str(row.get("diameters_um") or "").replace(",", ".")} for row in rows]
    return rows


def _check_label(path: Path, number: int, item: str, row: Mapping[str, Any], label: int | None) -> None:
    given = str(row.get("label") if row.get("label") is not None else "").strip()
    if given and label is not None and given != str(label):
        raise AuditError(f"{path}, entry {number}: {item} is label {label}, and the file says {given}")


def _judged(item: str, row: Mapping[str, Any], is_place: bool) -> Judged:
    verdict = str(row["verdict"]).strip().lower()
    note = str(row.get("note") or "")
    if is_place:
        diameters = _diameters(row.get("diameters_um"))
        count = _count(verdict, least=0)
        if len(diameters) > count:
            raise ValueError(f"{len(diameters)} diameters for {count} objects")
        return Judged(item, "missed", count, diameters, note)
    if verdict not in OBJECT_VERDICTS:
        raise ValueError(f"the verdict is {verdict!r}")
    given = str(row.get("count") if row.get("count") is not None else "").strip()
    if verdict in ("merged", "part"):
        return Judged(item, verdict, _count(given or "2", least=2), note=note)
    return Judged(item, verdict, 1, note=note)


def _count(text: str, least: int) -> int:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number of objects") from None
    if not math.isfinite(value) or value != int(value) or not least <= value <= LARGEST_COUNT:
        raise ValueError(f"the number of objects is {text}, expected a whole number from {least}")
    return int(value)


def _diameters(given: Any) -> tuple[float, ...]:
    words = given if isinstance(given, list) else str(given or "").replace(",", " ").replace(";", " ").split()
    try:
        values = tuple(float(word) for word in words)
    except (TypeError, ValueError):
        raise ValueError(f"{given!r} are no diameters in µm") from None
    if not all(0 < value < float("inf") for value in values):
        raise ValueError(f"{given!r} are no positive diameters")
    return values
