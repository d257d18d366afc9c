"""Enrichment of particle volume by distance to the nucleus."""

import pandas as pd
import pytest

from spherovem_core.report.enrichment import radial_profile


def radial(*rows: tuple[int, float, float, float, float]) -> pd.DataFrame:
    columns = ["cell", "distance_low_um", "distance_high_um", "cell_volume_um3", "nanoparticle_volume_um3"]
    return pd.DataFrame(rows, columns=columns)


def test_an_even_spread_in_every_cell_gives_no_enrichment() -> None:
    # Cell 1 is small and full, cell 2 large and nearly empty, both evenly. Pooling without weights would show enrichment.
    table = radial(
        (1, 0, 0, 5, 0),
        (1, 0, 1, 6, 3),
        (1, 1, 2, 2, 1),
        (2, 0, 1, 10, 0.1),
        (2, 1, 2, 30, 0.3),
        (2, 2, 3, 60, 0.6),
    )
    profile = radial_profile(table)
    assert profile["distance_high_um"].tolist() == [1, 2, 3]
    assert profile["ratio"].tolist() == pytest.approx([1, 1, 1])
    assert profile["found"].sum() == pytest.approx(1)
    assert profile["found"].iloc[0] == pytest.approx(3.1 / 5)


def test_particles_that_gather_at_the_nucleus_are_enriched_there() -> None:
    profile = radial_profile(radial((1, 0, 1, 1, 3), (1, 1, 2, 3, 1)))
    assert profile["by_chance"].tolist() == pytest.approx([0.25, 0.75])
    assert profile["ratio"].tolist() == pytest.approx([3, 1 / 3])


def test_particles_only_in_nuclei_give_no_profile() -> None:
    assert radial_profile(radial((1, 0, 0, 5, 1), (1, 0, 1, 6, 0))).empty
    assert radial_profile(radial()).empty
