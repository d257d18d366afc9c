"""Crops for training: flows follow the deformation, intensities change and places do not."""

import numpy as np
import pytest
import torch

from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.fine_tuning.augmentation import draw_crop
from spherovem_core.segmentation.fine_tuning.targets import training_targets

PLAIN = FineTuningParameters(
    contrast_range=0.0, noise=0.0, blur_px=0.0, elastic_px=0.0, missing_fraction=0.0, scale_range=0.5
)
SIZE = 96


def section(known: np.ndarray | None = None) -> torch.Tensor:
    """Return a section with one disc, bright on dark ground."""
    y, x = np.indices((120, 150))
    labels = (np.hypot(y - 60, x - 75) < 30).astype(np.uint32)
    image = labels.astype(np.float32)
    return torch.from_numpy(np.concatenate([image[None], training_targets(labels, known)]))


@pytest.mark.parametrize(("elastic_px", "agreement"), [(0.0, 0.99), (2.5, 0.95)])
def test_flows_point_to_the_centre_after_turning_mirroring_and_deforming(
    elastic_px: float, agreement: float
) -> None:
    parameters = PLAIN.model_copy(update={"elastic_px": elastic_px})
    y, x = np.indices((SIZE, SIZE))
    seen = 0
    for seed in range(12):
        _, targets = draw_crop(section(), SIZE, parameters, np.random.default_rng(seed))
        flow_y, flow_x, inside, _ = targets.numpy()
        mask = inside > 0
        if (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()) or not mask.any():
            continue
        seen += 1
        away = np.stack([y[mask] - y[mask].mean(), x[mask] - x[mask].mean()])
        distance = np.hypot(*away)
        far = distance > 5
        towards = -(away / np.maximum(distance, 1e-6))[:, far]
        assert (towards * np.stack([flow_y[mask], flow_x[mask]])[:, far]).sum(axis=0).mean() > agreement
        # Flows keep their length.
        assert np.hypot(flow_y[mask], flow_x[mask])[far] == pytest.approx(1, abs=1e-3)
    assert seen > 4


def test_image_and_targets_are_cut_at_the_same_place() -> None:
    for seed in range(4):
        image, targets = draw_crop(section(), SIZE, PLAIN, np.random.default_rng(seed))
        inside = targets[2] > 0
        assert ((image > 0.5) == inside)[targets[3] > 0].float().mean() > 0.98


def test_what_lies_outside_the_section_is_unknown() -> None:
    small = section()[:, 50:70, 60:90]
    image, targets = draw_crop(small + 1, SIZE, FineTuningParameters(), np.random.default_rng(0))
    assert 0 < targets[3].mean() < 0.6
    assert not image[targets[3] == 0].any()
    _, targets = draw_crop(small, SIZE, PLAIN, np.random.default_rng(0))
    assert not targets[:3][:, targets[3] == 0].any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("contrast_range", 0.4),
        ("noise", 0.2),
        ("missing_fraction", 1.0),
        ("inversion", True),
        ("blur_px", 2.0),
    ],
)
def test_each_change_of_intensities_leaves_the_targets(name: str, value: object) -> None:
    changed = PLAIN.model_copy(update={name: value})
    differs = 0
    for seed in range(10):
        before, expected = draw_crop(section(), SIZE, PLAIN, np.random.default_rng(seed))
        after, found = draw_crop(section(), SIZE, changed, np.random.default_rng(seed))
        assert torch.equal(found, expected)
        assert torch.isfinite(after).all()
        differs += not torch.allclose(before, after)
    assert differs >= (1 if name == "blur_px" else 3)


def test_the_same_generator_gives_the_same_crop() -> None:
    first, second = (
        draw_crop(section(), SIZE, FineTuningParameters(), np.random.default_rng(3)) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
