"""Tissue unlike the training of a compact network is noticed, and told in words."""

import numpy as np
import pytest
from scipy import ndimage

from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import PlacedVolume
from spherovem_core.segmentation.familiarity import (
    Familiarity,
    fit_statistics,
    measure_familiarity,
    sample_tiles,
    training_statistics,
)
from spherovem_core.synthetic.phantom import make_phantom

SETTINGS = ObjectParameters(network="phantom-compact", flow_spacing_nm=120.0).flows


def grain(size_px: float) -> PlacedVolume:
    """Noise with grains of one size."""
    values = ndimage.gaussian_filter(
        np.random.default_rng(0).normal(size=(6, 256, 256)), (0, size_px, size_px)
    )
    values = 128 + 40 * values / values.std()
    return PlacedVolume(np.clip(values, 0, 255).astype(np.uint8), (120.0, 120.0, 120.0))


def test_grain_is_unlike_the_training_and_a_phantom_is_not() -> None:
    phantom = make_phantom(shape=(16, 320, 320), spacing_nm=(120.0, 60.0, 60.0), seed=3, cell_diameter_um=4.8)
    like = measure_familiarity("cells", PlacedVolume(phantom.image, phantom.spacing_nm), SETTINGS)
    unlike = measure_familiarity("cells", grain(1.5), SETTINGS)
    assert like is not None
    assert unlike is not None
    assert not like.unlike
    assert unlike.unlike
    assert unlike.distance > 1.5 * like.distance


def test_an_image_without_contrast_says_nothing() -> None:
    empty = PlacedVolume(np.full((4, 256, 256), 90, np.uint8), (120.0, 120.0, 120.0))
    found = measure_familiarity("nuclei", empty, SETTINGS)
    assert found is not None
    assert np.isnan(found.distance)
    assert not found.unlike


def test_other_networks_are_not_judged() -> None:
    other = SETTINGS.model_copy(update={"network": "cpsam_v2"})
    assert training_statistics("cpsam_v2", "cells") is None
    assert measure_familiarity("cells", grain(1.5), other) is None


def test_distances_of_usual_tiles_are_one_and_far_tiles_are_far() -> None:
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(6, 40))
    groups = [rng.normal(size=(50, 6)) @ mixing + rng.normal(0, 0.1, (50, 40)) for _ in range(6)]
    statistics = fit_statistics(groups[:4], groups[4:], axes=10)
    assert np.median(statistics.distances(groups[5])) == pytest.approx(1, abs=0.25)
    beyond = groups[5] + 3 * rng.normal(size=40)
    assert (statistics.distances(beyond) > statistics.limit).all()


def test_tiles_are_spread_and_have_contrast() -> None:
    image = grain(3.0)
    tiles = sample_tiles(image, SETTINGS, (0.0, 255.0))
    assert tiles.shape[1:] == (128, 128)
    assert len(tiles) == 5 * 4
    half = PlacedVolume(image.array.copy(), image.spacing_nm)
    half.array[:, :, 128:] = 128
    assert len(sample_tiles(half, SETTINGS, (0.0, 255.0))) == 5 * 2


def test_the_warning_names_figures_and_remedy() -> None:
    text = Familiarity(4.2, 2.0, 60.0).explanation("cells", "em-compact")
    assert "4.2" in text
    assert "flow_spacing_nm 60" in text
    assert "fine-tune" in Familiarity(4.2, 2.0).explanation("cells", "em-compact")
