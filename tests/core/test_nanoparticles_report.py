"""The report's picture of the mixture."""

import numpy as np
import pytest

from spherovem_core.nanoparticles.chapter import histogram_in_stack_scale


@pytest.mark.parametrize(
    ("dtype", "polarity"), [("uint8", "bright"), ("uint8", "dark"), ("uint16", "bright")]
)
def test_a_slice_is_shown_in_the_scale_of_the_mixture(dtype: str, polarity: str) -> None:
    random = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    values = np.rint(random.normal(120, 10, (200, 210))).astype(dtype)
    values[:4] = 250
    image = values if polarity == "bright" else (top - values).astype(dtype)
    mixture = {"polarity": polarity, "maps": [[1.0, 0.0], [1.5, -20.0]], "levels": np.arange(-30.0, 300.0)}
    share = histogram_in_stack_scale(image, mixture, 1)
    assert share.sum() == pytest.approx(1)
    # 250 goes to 355, beyond the last bin; the others to 160 with a spread of 15.
    assert share[-1] == pytest.approx(4 / 200, abs=1e-9)
    inside = share[:-1] / share[:-1].sum()
    levels = mixture["levels"][:-1]
    assert inside @ levels == pytest.approx(160, abs=0.5)
    assert np.sqrt(inside @ (levels - 160) ** 2) == pytest.approx(15, abs=0.5)


def test_bins_wider_than_an_intensity_hold_what_falls_into_them() -> None:
    image = np.repeat(np.arange(1000, 1040, dtype=np.uint16), 10).reshape(20, 20)
    mixture = {"polarity": "bright", "maps": [[1.0, 0.0]], "levels": np.arange(1001.5, 1040.0, 4.0)}
    np.testing.assert_allclose(histogram_in_stack_scale(image, mixture, 0), 0.1)
