"""Facts about the files of an acquisition for its history."""

from collections.abc import Sequence

from spherovem_core.ingest.databar import Databar
from spherovem_core.ingest.description import Description
from spherovem_core.ingest.exclusion import ExcludedStack
from spherovem_core.ingest.numbering import ranges
from spherovem_core.ingest.reader import FileReport, Reader
from spherovem_core.ingest.source_files import DESCRIPTION
from spherovem_core.parameters import IngestParameters
from spherovem_core.parameters.exclusions import parse_exclusion


def source_facts(
    reader: Reader,
    reports: Sequence[FileReport],
    excluded: ExcludedStack,
    databar: Databar,
    description: Description,
    parameters: IngestParameters,
) -> dict[str, object]:
    """Collect the facts that the files, their description, the excluded slices and the databar give."""
    top = parameters.databar_top_rows or 0
    return {
        **_file_facts(reader, reports),
        **({"acquisition": dict(description.content)} if description.content else {}),
        **_exclusion_facts(excluded, parameters, description),
        **({"databar_origin": "pixels"} if databar.rows else {}),
        **({"databar_top_rows": top} if top else {}),
    }


def exclusions(parameters: IngestParameters, description: Description) -> list[tuple[str, str]]:
    """Return the entries of excluded slices, each with its source."""
    stated = description.entries.exclude_slices or ()
    return [
        *((entry, "parameter") for entry in parameters.exclude_slices),
        *((entry, DESCRIPTION) for entry in stated),
    ]


def _file_facts(reader: Reader, reports: Sequence[FileReport]) -> dict[str, object]:
    """Return the facts of the first file that could be read, with a default for each fact that all readers share."""
    report = next((report for report in reports if report.facts), reports[0])
    bits = report.slices[0].dtype.itemsize * 8 if report.slices else 0
    defaults = {"container": reader.name, "compression": "none", "bits": bits, "metadata": "none"}
    return {**report.facts, **{name: value for name, value in defaults.items() if name not in report.facts}}


def _exclusion_facts(
    excluded: ExcludedStack, parameters: IngestParameters, description: Description
) -> dict[str, object]:
    entries = exclusions(parameters, description)
    if not entries or excluded.problems:
        return {}
    cut_off = {"slices_cut_off": ranges(excluded.cut_off)} if excluded.cut_off else {}
    found = [parse_exclusion(entry) for entry, _ in entries]
    return {
        "excluded": [
            {"slices": each.what, "reason": each.reason, "origin": origin}
            for each, (_, origin) in zip(found, entries, strict=True)
        ],
        **cut_off,
    }
