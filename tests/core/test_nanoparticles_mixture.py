"""The mixture on disk: the same numbers again, and errors that name the remedy."""

import json
from dataclasses import replace

import pytest

from spherovem_core.errors import MixtureError
from spherovem_core.nanoparticles import Mixture, Population

MIXTURE = Mixture(
    polarity="dark",
    dtype="uint16",
    detected=True,
    reason="3 compact objects stand out from the tissue",
    populations=[
        Population(1, 2, 2 / 3, 100.1, 1.5, 220.0, 0.1 + 0.2, 12.0, 5.0),
        Population(2, 1, 1 / 3, 50.0, 0.0, 170.0, 160.0, 0.0, None),
    ],
    others={"elongated": 2},
    fraction=1 / 3,
    noise=6.1,
    min_contrast=27.3,
    blur_nm=23.9,
    depth_nm=120.0,
    blur_objects=12,
    expected_diameter_nm=(200.1, 280.3),
    detection_limit_nm=111.1,
    warnings=["look"],
    maps=[(1.0, 0.0), (1.01, -2.3)],
)


def test_mixture_is_read_back_to_the_last_digit() -> None:
    assert Mixture.from_json(MIXTURE.to_json()) == MIXTURE


def test_mixture_without_particles_is_read_back() -> None:
    values = {**json.loads(MIXTURE.to_json()), "detected": False, "populations": [], "others": {}}
    values |= {"expected_diameter_nm": None, "detection_limit_nm": None}
    found = Mixture.from_json(json.dumps(values))
    assert found.populations == []
    assert found.expected_diameter_nm is None
    assert Mixture.from_json(found.to_json()) == found


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "{}", '"mixture"'])
def test_text_that_is_no_mixture_is_refused(text: str) -> None:
    with pytest.raises(MixtureError, match=r"delete models/mixture\.json and run the acquisition again"):
        Mixture.from_json(text)


def test_mixture_of_an_older_format_is_refused() -> None:
    values = {**json.loads(MIXTURE.to_json()), "format": 1}
    with pytest.raises(MixtureError, match="has format 1, expected 2; run the acquisition again"):
        Mixture.from_json(json.dumps(values))


@pytest.mark.parametrize("name", ["populations", "maps", "noise", "warnings", "expected_diameter_nm"])
def test_missing_value_is_named(name: str) -> None:
    values = json.loads(MIXTURE.to_json())
    del values[name]
    with pytest.raises(MixtureError, match=name):
        Mixture.from_json(json.dumps(values))


def test_unknown_value_is_named() -> None:
    with pytest.raises(MixtureError, match="hue"):
        Mixture.from_json(json.dumps({**json.loads(MIXTURE.to_json()), "hue": 1}))


def test_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        replace(MIXTURE, noise=float("nan")).to_json()
