"""The acquisitions of ``../shared/cases``, as instruments and programs write them: right, or one clear fault."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spherovem_core.errors import AcquisitionError
from spherovem_core.ingest import open_stack, survey_stack
from spherovem_core.ingest.problems import problem_lines
from spherovem_core.parameters import IngestParameters

CASES = Path(__file__).parents[3] / "shared" / "cases" / "ingest_cases.py"
STATED = IngestParameters(spacing_nm=(50, 10, 12))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not CASES.is_file():
        pytest.skip(f"{CASES} is not here")
    out = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, str(CASES), str(out)], check=True, capture_output=True)
    return out


def check(folder: Path, expected: dict[str, Any]) -> None:
    """Compare one acquisition with what is right for it."""
    if "refuse" in expected:
        with pytest.raises(AcquisitionError) as raised:
            open_stack(folder, IngestParameters())
        text = str(raised.value)
        assert [word for word in expected["refuse"] if word not in text] == [], text
        assert [word for word in expected.get("never", ()) if word in text] == [], text
    if "order" in expected:
        files = open_stack(folder, STATED).files
        assert [file.name for file in files if file is not None] == expected["order"]
    if "shape" in expected:
        report = survey_stack(folder, STATED)
        assert list(report.stack.shape) == expected["shape"], problem_lines(report.problems, folder.name)


def test_every_case_is_right_or_refused(written: Path) -> None:
    cases = json.loads((written / "expected.json").read_text())
    assert len(cases) >= 20
    wrong = []
    for name, expected in cases.items():
        try:
            check(written / name, expected)
        except AssertionError as error:
            wrong.append(f"{name}: {error}")
        except AcquisitionError as error:
            wrong.append(f"{name}: {error}")
    assert not wrong, "\n".join(wrong)
