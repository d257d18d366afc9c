"""``spherovem labels review``: the table of suspects, as text, as JSON and in pictures."""

import json
from pathlib import Path

import pytest
from results_scenes import digest, write_results

from deployments.command_line.main import main
from spherovem_core.review.suspects import SEED_COLUMNS, suspect_table
from spherovem_core.store import Layout, write_table


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = write_results(tmp_path / "spheroid 1")
    box = {f"bbox_{axis}{end}": 4 * end for end in (0, 1) for axis in "zyx"}
    place = {f"centroid_{axis}_um": 0.05 for axis in "zyx"}
    row = box | place | dict.fromkeys(SEED_COLUMNS, 0.02)
    rows = [
        row
        | {"label": n, "other_label": 9, "operation": "merge", "score": 3.0 - n}
        | {"reason": "large contact", "explanation": "The contact is large."}
        for n in (1, 2, 3)
    ]
    write_table(layout, "tables/suspects_cells.parquet", suspect_table(rows), digest("review_cells"))
    return layout


def review(layout: Layout, *options: str) -> int:
    return main(
        ["labels", "review", layout.folder.name, "--results-root", str(layout.folder.parent), *options]
    )


def test_suspects_are_listed_in_their_order(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert review(layout, "--kind", "cells", "--top", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:3]] == [["1", "1", "9", "merge"], ["2", "2", "9", "merge"]]
    assert lines[-1] == "2 of 3 suspects"


def test_json_holds_every_column(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert review(layout, "--kind", "cells", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in document["suspects"]] == [1, 2, 3]
    assert document["suspects"][0]["seed_1_z_um"] == 0.02


def test_pictures_are_written(layout: Layout, tmp_path: Path) -> None:
    page = tmp_path / "sheets" / "cells.html"
    assert review(layout, "--kind", "cells", "--top", "1", "--sheets", str(page)) == 0
    text = page.read_text()
    assert text.count("<svg") == 3
    assert "Merge 1 (yellow) and 9 (blue): large contact." in text


def test_no_suspects_and_no_table_are_told_apart(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert review(layout, "--kind", "nuclei") == 0
    assert capsys.readouterr().out == "no suspects among nuclei\n"
    (layout.tables / "suspects_nuclei.parquet").unlink()
    assert review(layout, "--kind", "nuclei") == 1
    assert "suspects_nuclei.parquet" in capsys.readouterr().err
