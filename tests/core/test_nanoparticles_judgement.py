"""Judgement of single objects by hand-made measures, the calibration of the confidence, and warnings."""

import numpy as np
import pandas as pd
import pytest
from nanoparticle_scenes import COARSE_NM, Kind, make_scene, score

from spherovem_core.nanoparticles import Population, find_particles
from spherovem_core.nanoparticles.acquisition_blur import AcquisitionBlur
from spherovem_core.nanoparticles.ball_response import ball_response
from spherovem_core.nanoparticles.judgement import object_faults
from spherovem_core.nanoparticles.plausibility import find_warnings
from spherovem_core.parameters import NanoparticleParameters

SPACING_NM = (50.0, 20.0, 20.0)
BLUR = AcquisitionBlur(10.0, 30.0, 50.0, 20)
# A ball of 240 nm, contrast 90.
BALL = {
    "level": 210.0, "surroundings": 120.0, "section_nm": 240.0, "lateral": 1.05, "axial": 1.0, "fill": 1.0,
    "edge_nm": 30.0, "slope": 0.02, "ground": 120.0, "cut": False, "isolated": True, "piece": False,
    "cap_nm": np.nan,
}  # fmt: skip


def fault(
    diameter_nm: float = 240.0, parameters: NanoparticleParameters | None = None, **changes: object
) -> str:
    response = ball_response(SPACING_NM, 50.0, 10.0, (17.0, 17.0), 600.0)
    reason = object_faults(
        pd.DataFrame([BALL | changes]),
        np.array([diameter_nm]),
        np.array([30.0]),
        response,
        BLUR,
        SPACING_NM,
        parameters or NanoparticleParameters(),
    )
    return str(reason[0])


def test_ball_has_no_fault() -> None:
    assert fault() == ""


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("joins something larger", {"isolated": False}),
        ("faint", {"level": 135.0}),
        ("too large", {"section_nm": 800.0}),
        ("too large", {"cap_nm": 800.0, "cut": True}),
        ("elongated", {"lateral": 4.0}),
        ("flat", {"axial": 0.1}),
        ("column", {"axial": 4.0}),
        ("irregular", {"fill": 0.2}),
        ("soft edge", {"edge_nm": 120.0}),
    ],
)
def test_each_fault_has_its_name(expected: str, changes: dict[str, object]) -> None:
    assert fault(**changes) == expected


def test_first_of_several_faults_is_named() -> None:
    assert fault(isolated=False, lateral=4.0, fill=0.1) == "joins something larger"
    assert fault(lateral=4.0, fill=0.1) == "elongated"


def test_size_follows_the_expected_diameter() -> None:
    narrow = NanoparticleParameters(expected_diameter_nm=(150.0, 300.0))
    assert fault(240.0, narrow) == ""
    assert fault(500.0, narrow) == "too large"
    assert fault(60.0, narrow, section_nm=60.0) == "too small"
    assert fault(700.0) == "too large"
    assert fault(700.0, NanoparticleParameters(max_diameter_nm=900.0), section_nm=680.0) == ""


def test_object_that_the_border_cuts_may_be_small_flat_or_high() -> None:
    narrow = NanoparticleParameters(expected_diameter_nm=(150.0, 300.0))
    assert fault(60.0, narrow, cut=True) == ""
    assert fault(axial=0.1, cut=True) == ""
    assert fault(fill=0.2, cut=True) == ""


def test_small_object_does_not_show_its_edge_or_depth() -> None:
    # 70 nm are three pixels and a slice and a half.
    assert fault(70.0, section_nm=70.0, edge_nm=120.0, axial=0.1, fill=0.2) == ""


def test_confidence_is_calibrated_over_a_mixed_set() -> None:
    """Of the objects that pass with a confidence near p, a fraction near p are particles: within 0.1 overall."""
    chance, right = [], []
    for seed in range(2):
        for options in (
            {"kinds": (Kind(25, 280.0),)},
            {"kinds": (Kind(20, 240.0),), "noise": 12.0},
            {"kinds": (Kind(15, 280.0),), "resin": (0.3, 185.0)},
            {"kinds": (Kind(20, 280.0),), "streaks": 25},
            {"kinds": (Kind(12, 280.0, 235.0), Kind(12, 280.0, 180.0))},
        ):
            scene = make_scene((18, 160, 160), spacing_nm=COARSE_NM, seed=seed, **options)  # type: ignore[arg-type]
            table = find_particles(scene.image, COARSE_NM).table
            true = np.isin(np.arange(len(table)), score(scene, table).pairs[:, 1])
            chance += table.confidence.tolist()
            right += true.tolist()
    assert len(chance) > 150
    assert np.mean(chance) == pytest.approx(np.mean(right), abs=0.1)
    sure = np.array(chance) > 0.9
    assert np.mean(np.array(right)[sure]) > 0.9


def _table(diameters_um: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"equivalent_diameter_um": diameters_um, "kind": "nanoparticle"})


def _others(reasons: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"reason": np.array(reasons, object)})


def warnings(
    particles: pd.DataFrame,
    others: pd.DataFrame,
    populations: list[Population] | None = None,
    blur: AcquisitionBlur = BLUR,
    unsplit: str = "",
    fraction: float = 0.01,
) -> list[str]:
    return find_warnings(
        particles, others, populations or [], blur, unsplit, fraction, NanoparticleParameters()
    )  # fmt: skip


def test_plausible_result_has_no_warning() -> None:
    assert warnings(_table([0.24] * 30), _others(["faint"] * 40)) == []


def test_each_warning_names_what_was_seen_and_what_to_set() -> None:
    some = _table([0.24] * 30)
    (much,) = warnings(some, _others([]), fraction=0.27)
    assert "27% of the volume is labelled" in much
    assert "check polarity, and set expected_diameter_nm" in much
    (many,) = warnings(some, _others(["elongated"] * 30 + ["too large"] * 10))
    assert "40 other objects stand out beside 30 nanoparticles (30 elongated, 10 too large)" in many
    (near,) = warnings(_table([0.58] * 10 + [0.3] * 20), _others(["too large"] * 3))
    assert "10 nanoparticles are nearly as large as the limit of 600 nm, and 3 objects are larger" in near
    (assumed,) = warnings(some, _others([]), blur=BLUR._replace(objects=0))
    assert "10 nm is assumed" in assumed
    (unsplit,) = warnings(some, _others(["irregular"] * 4), unsplit="5 particles are too few")
    assert "4 objects that may be clumps of touching particles were not split" in unsplit
    assert "(5 particles are too few)" in unsplit
    clumps = some.assign(kind=["clump"] * 3 + ["nanoparticle"] * 27)
    (whole,) = warnings(clumps, _others([]))
    assert "3 of 30 rows of the table nanoparticles are clumps" in whole
