"""``spherovem audit``: the sheet, the file of verdicts, the table, the report, and one error for each bad input."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from results_scenes import SPACING, cells, digest, write_results
from scipy import ndimage

from deployments.command_line.main import main
from spherovem_core.audit.stored import audit_state
from spherovem_core.store import Layout, read_table, write_table


def cell_table() -> pd.DataFrame:
    rows = []
    labels = cells()
    for label in (1, 70_001):
        places = np.argwhere(labels == label)
        low, high = places.min(axis=0), places.max(axis=0) + 1
        centre = ndimage.center_of_mass(labels == label)
        row = {"label": label, "volume_um3": len(places) * np.prod(SPACING) * 1e-9}
        for axis, name in enumerate("zyx"):
            row |= {f"bbox_{name}0": low[axis], f"bbox_{name}1": high[axis]}
            row[f"centroid_{name}_um"] = centre[axis] * SPACING[axis] / 1000
        rows.append(row)
    return pd.DataFrame(rows).astype({"label": np.uint32})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = write_results(tmp_path / "spheroid 1")
    write_table(layout, "tables/cells.parquet", cell_table(), digest("output"))
    return layout


def audit(layout: Layout, *options: str) -> int:
    root = str(layout.folder.parent)
    return main(["audit", layout.folder.name, "--kind", "cells", "--results-root", root, *options])


def fill(layout: Layout, first: str = "right") -> Path:
    path = layout.folder / "audits" / "cells.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows["verdict"] = ["right" if item.startswith("O") else "0" for item in rows["item"]]
    rows.loc[0, "verdict"] = first
    rows.to_csv(path, index=False)
    return path


def test_a_sample_is_drawn_judged_and_reported(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(layout) == 0
    shown = capsys.readouterr().out
    assert "2 of 2 cells, 20 places" in shown
    # The command can be pasted, although the folder's name has a space.
    command = shlex.split(shown.partition("then:")[2])
    assert command[:3] == ["spherovem", "audit", "spheroid 1"]
    assert command[-1] == str(layout.folder / "audits" / "cells.csv")
    page = (layout.folder / "audits" / "cells.html").read_text()
    assert page.count("<svg") == 3 * 22
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert page.count('data-item="O') == 2
    path = fill(layout, first="false")
    edits = layout.folder.parent / "edits.jsonl"
    assert audit(layout, "--verdicts", str(path), "--author", "Ada", "--edits", str(edits), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    values = {row["quantity"]: row for row in document["quantities"]}
    assert values["precision"]["value"] == values["precision"]["low"] == 0.5
    assert values["count"]["as_segmented"] == 2
    assert values["count"]["value"] == 1
    table = read_table(layout, "tables/audit_cells.parquet")
    assert table["quantity"].tolist() == list(values)
    assert [json.loads(line)["operation"] for line in edits.read_text().splitlines()] == ["reject", "accept"]
    assert json.loads(edits.read_text().splitlines()[0])["object"]["point_um"][1] == pytest.approx(
        0.45, abs=0.02
    )
    entry = json.loads((layout.folder / "audits" / "cells.jsonl").read_text())
    assert (entry["author"], len(entry["verdicts"])) == ("Ada", 22)
    state = audit_state(layout, "cells")
    assert state.text.startswith("audited (Ada, ")
    assert "precision 0.50 (0.50 to 0.50)" in state.text
    assert audit_state(layout, "nuclei").text == "not audited"
    write_table(layout, "tables/cells.parquet", cell_table().iloc[:1], digest("output"))
    assert audit_state(layout, "cells").text.endswith("before the labels changed; not audited since")
    (layout.folder / "audits" / "cells.jsonl").write_text("no JSON")
    assert "line 1 is damaged" in audit_state(layout, "cells").text


def test_the_same_command_again_keeps_sample_and_verdicts(layout: Layout) -> None:
    assert audit(layout) == 0
    text = fill(layout).read_text()
    assert audit(layout) == 0
    assert (layout.folder / "audits" / "cells.csv").read_text() == text


def test_the_sample_of_changed_labels_is_refused(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(layout) == 0
    path = fill(layout)
    write_table(layout, "tables/cells.parquet", cell_table().iloc[:1], digest("output"))
    assert audit(layout, "--verdicts", str(path)) == 1
    assert "were changed since the sample was drawn" in capsys.readouterr().err
    assert audit(layout) == 1
    assert "--redraw" in capsys.readouterr().err
    assert audit(layout, "--redraw") == 0


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (("--verdicts", "absent.csv"), "absent.csv is not a file", 2),
        (("--edits", "x.jsonl"), "--edits: give the verdicts", 2),
    ],
)
def test_bad_arguments_are_refused(
    layout: Layout, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str, code: int
) -> None:
    assert audit(layout, *options) == code
    assert message in capsys.readouterr().err


def test_verdicts_without_a_sample_are_refused(
    layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("item,verdict\nO01,right\n")
    assert audit(layout, "--verdicts", str(path)) == 1
    assert "no sample of cells was drawn" in capsys.readouterr().err
    assert audit(layout) == 0
    assert audit(layout, "--verdicts", str(path)) == 1
    assert "no verdict on O02" in capsys.readouterr().err
