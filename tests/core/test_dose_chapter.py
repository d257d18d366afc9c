"""Chapter of the report on uptake and contacts, from tables alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spherovem_core.output import uptake_table, with_doses, with_particle_places
from spherovem_core.output.dose_chapter import dose_section, dose_warnings
from spherovem_core.parameters import NanoparticleParameters, OutputParameters, PipelineParameters
from spherovem_core.report import ReportInputs
from spherovem_core.store import Layout

BEYOND = "the nearest surface may lie outside of the field"


def tables(unsure: int = 3) -> dict[str, pd.DataFrame]:
    """Make 20 cells in a row with a particle each, the first of them with two in one agglomerate."""
    count = 20
    numbers = np.arange(count)
    cells = pd.DataFrame(
        {
            "label": numbers.astype(np.uint32) + 1,
            "volume_um3": 10.0 + numbers,
            "surface_area_um2": 20.0,
            "truncated_fraction": 0.0,
            "nanoparticle_count": np.where(numbers == 0, 2, 1),
            "nanoparticle_volume_um3": np.where(numbers == 0, 0.2, 0.1),
            "nanoparticle_density_per_um3": 1 / (10.0 + numbers),
            "neighbour_count": 2,
            "contact_area_um2": 12.0,
            "depth_um": 1.0 + numbers,
            "depth_note": np.where(numbers < unsure, BEYOND, ""),
        }
    )
    parents = np.append(numbers + 1, 1)
    particles = pd.DataFrame(
        {
            "label": np.arange(count + 1) + 1,
            "agglomerate": parents,
            "volume_um3": 0.1,
            "parent_cell": parents.astype(np.uint32),
            "distance_to_nucleus_min_um": 0.2 * np.arange(count + 1),
            "in_nucleus": False,
            "membrane_gap_um": np.where(np.arange(count + 1) < 4, 0.05, 0.5),
        }
    )
    own = OutputParameters(particle_density_g_cm3=2.0)
    particles = with_particle_places(particles, own)
    cells = with_doses(cells, particles, 2.0)
    agglomerates = pd.DataFrame(
        {
            "label": numbers + 1,
            "particle_count": np.where(numbers == 0, 2, 1),
            "volume_um3": 0.1,
            "parent_cell": numbers + 1,
            "in_nucleus": False,
            "perinuclear": False,
            "at_membrane": numbers < 4,
            "cell_count": 1,
            "place": np.where(numbers == 19, "outside", "specimen"),
        }
    )
    contacts = pd.DataFrame({"contact_area_um2": np.linspace(1, 3, 19)})
    found = {"cells": cells, "nanoparticles": particles, "nuclei": cells[["label"]]}
    return {**found, "agglomerates": agglomerates, "contacts": contacts, "uptake": uptake_table(cells)}


def inputs_of(folder: Path, found: dict[str, pd.DataFrame], parameters: PipelineParameters) -> ReportInputs:
    return ReportInputs("one", Layout(folder), parameters, found, {}, 400)


DENSE = PipelineParameters(output=OutputParameters(particle_density_g_cm3=2.0))


def test_the_chapter_states_doses_places_contacts_and_uptake(tmp_path: Path) -> None:
    section = dose_section(inputs_of(tmp_path, tables(), DENSE))
    facts = dict(section.facts)
    assert facts["Contacts between cells"] == "19"
    assert facts["Surface in contact, whole cells"] == "60 (quartiles 60 to 60) %"
    assert facts["Mass per cell (at 2 g/cm³)"] == "0.2 (quartiles 0.2 to 0.2) pg"
    assert facts["At the membrane (within 100 nm)"] == "4 of 21 (19.0 %)"
    assert facts["Perinuclear (within 500 nm of the nucleus)"] == "3 of 21 (14.3 %)"
    assert facts["In agglomerates of two or more"] == "2 of 21 (9.5 %)"
    assert facts["Depth of cells"] == "1 to 20 µm; certain for 17 of 20"
    uptake, agglomerates = (table.frame for table in section.tables)
    assert uptake["rank correlation"].iloc[3] == pytest.approx(-1, abs=0.05)
    assert agglomerates["agglomerates"].tolist() == [19, 1, 0, 0, 0]
    assert agglomerates["at the membrane"].tolist() == [3, 1, 0, 0, 0]
    assert agglomerates["outside the specimen"].tolist() == [1, 0, 0, 0, 0]
    assert len(section.pictures) == 2


def test_depth_that_is_mostly_uncertain_is_warned_of(tmp_path: Path) -> None:
    assert dose_warnings(inputs_of(tmp_path, tables(10), DENSE)) == []
    outside = tables(0)
    outside["cells"].loc[:1, "depth_um"] = -0.5
    (warning,) = dose_warnings(inputs_of(tmp_path, outside, DENSE))
    assert "centroids of 2 of 20 cells lie outside of the specimen mask" in warning
    (warning,) = dose_warnings(inputs_of(tmp_path, tables(11), DENSE))
    assert "11 of 20 cells" in warning


def test_tables_of_older_versions_have_an_empty_chapter(tmp_path: Path) -> None:
    found = {
        "cells": pd.DataFrame({"label": [1], "nanoparticle_count": [2], "truncated_fraction": [0.0]}),
        "nanoparticles": pd.DataFrame({"label": [1, 2], "parent_cell": [1, 1]}),
        "nuclei": pd.DataFrame({"label": [1]}),
    }
    section = dose_section(inputs_of(tmp_path, found, PipelineParameters()))
    assert len(section.facts) == 1
    assert section.pictures == section.tables == []
    assert dose_warnings(inputs_of(tmp_path, found, PipelineParameters())) == []


def test_without_particles_contacts_remain(tmp_path: Path) -> None:
    parameters = PipelineParameters(nanoparticles=NanoparticleParameters(method="none"))
    section = dose_section(inputs_of(tmp_path, tables(), parameters))
    assert {name for name, _ in section.facts} >= {"Contacts between cells", "Depth of cells"}
    assert not any("embrane" in name for name, _ in section.facts)
    assert section.tables == []
