"""Summary of the results in Markdown."""

from dataclasses import replace
from pathlib import Path

import pytest
from report_scenes import CHAPTERS, Scene, finished, shared

from spherovem_core.output import summarise


def test_warnings_come_first_then_counts_then_links(tmp_path_factory: pytest.TempPathFactory) -> None:
    inputs, _ = shared(tmp_path_factory)
    text = summarise(inputs, CHAPTERS)
    assert "- **Acquisition**: 2 of 24 slices were missing or unusable" in text
    assert "- **Registration**: slices not aligned with confidence to the one before: 9" in text
    assert f"| cells | {len(inputs.tables['cells'])} |" in text
    assert f"[report]({inputs.layout.report.as_uri()}): `{inputs.layout.report}`" in text
    assert text.index("Warnings") < text.index("| cells |") < text.index("[report]")
    assert not inputs.layout.report.exists()


def test_warnings_of_nanoparticles_are_among_the_warnings(tmp_path_factory: pytest.TempPathFactory) -> None:
    inputs, _ = shared(tmp_path_factory)
    mixture = {**inputs.mixture, "warnings": ["much is labelled", "sizes are uncertain"]}
    text = summarise(replace(inputs, mixture=mixture), CHAPTERS)
    assert "- **Nanoparticles**: much is labelled\n- **Nanoparticles**: sizes are uncertain" in text


def test_missing_labels_are_warned_of(tmp_path: Path) -> None:
    text = summarise(
        finished(tmp_path, Scene(particles=False, cells=False, nuclei=False, flags={})), CHAPTERS
    )
    assert "no cells were found" in text
    assert "no nuclei were found" in text
    assert "no nanoparticles were labelled" in text
    assert "| cells | 0 | – |" in text
