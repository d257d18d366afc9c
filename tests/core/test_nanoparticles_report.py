"""Histogram of a slice on the scale of the mixture, as the report shows it."""

import numpy as np
import pytest

from spherovem_core.nanoparticles.chapter import histogram_in_stack_scale


@pytest.mark.parametrize(
    ("dtype", "polarity"), [("uint8", "bright"), ("uint8", "dark"), ("uint16", "bright")]
)
def test_histogram_of_a_slice_is_on_the_scale_of_the_mixture(dtype: str, polarity: str) -> None:
    random = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    values = np.rint(random.normal(120, 10, (200, 210))).astype(dtype)
    values[:4] = 250
    image = values if polarity == "bright" else (top - values).astype(dtype)
    mixture = {"polarity": polarity, "maps": [[1.0, 0.0], [1.5, -20.0]], "levels": np.arange(-30.0, 300.0)}
    fractions = histogram_in_stack_scale(image, mixture, 1)
    assert fractions.sum() == pytest.approx(1)
    # 250 is mapped to 355, beyond the last bin; the other intensities to 160 with a standard deviation of 15.
    assert fractions[-1] == pytest.approx(4 / 200, abs=1e-9)
    inside = fractions[:-1] / fractions[:-1].sum()
    levels = mixture["levels"][:-1]
    assert inside @ levels == pytest.approx(160, abs=0.5)
    assert np.sqrt(inside @ (levels - 160) ** 2) == pytest.approx(15, abs=0.5)


def test_wide_bins_hold_the_sum_of_their_intensities() -> None:
    image = np.repeat(np.arange(1000, 1040, dtype=np.uint16), 10).reshape(20, 20)
    mixture = {"polarity": "bright", "maps": [[1.0, 0.0]], "levels": np.arange(1001.5, 1040.0, 4.0)}
    np.testing.assert_allclose(histogram_in_stack_scale(image, mixture, 0), 0.1)
