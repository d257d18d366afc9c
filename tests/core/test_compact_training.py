"""Training of the compact networks: crops, weights and command line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spherovem_core.segmentation import load_network
from spherovem_core.synthetic.compact_training.crops import draw_batches, draw_crop, turn_randomly
from spherovem_core.synthetic.compact_training.recipes import RECIPES, scene_sections
from spherovem_core.synthetic.compact_training.sections import Section
from spherovem_core.synthetic.compact_training.training import train_compact, write_weights


def sections(count: int = 2) -> list[Section]:
    """Make sections of noise with flows of unit length."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        angle = rng.uniform(0, 2 * np.pi, (48, 40))
        inside = rng.random((48, 40)) > 0.5
        targets = [np.sin(angle), np.cos(angle), inside] * 2
        made.append(Section(rng.random((48, 40)).astype(np.float16), np.stack(targets).astype(np.float16)))
    return made


def test_flows_turn_with_the_image() -> None:
    y, x = np.meshgrid(np.arange(6.0), np.arange(6.0), indexing="ij")
    # A linear image, whose gradient is its flow: after any turn it must still be the gradient.
    image = 3 * y + 5 * x
    stack = np.stack([image, *[np.full((6, 6), value) for value in (3, 5, 1, 3, 5, 1)]]).astype(np.float32)
    for seed in range(16):
        turned = turn_randomly(stack, np.random.default_rng(seed))
        gradient = np.gradient(turned[0])
        for flow_y, flow_x in ((1, 2), (4, 5)):
            np.testing.assert_allclose(turned[flow_y], gradient[0])
            np.testing.assert_allclose(turned[flow_x], gradient[1])


def test_a_small_section_is_padded_and_the_padding_marked() -> None:
    image, targets = draw_crop(sections()[0], 64, np.random.default_rng(1), RECIPES["phantom"])
    assert image.shape == (64, 64)
    assert targets.shape == (7, 64, 64)
    assert targets[6].sum() == 48 * 40
    assert (image[targets[6] == 0] == 0).all()


def test_the_same_seed_draws_the_same_batches() -> None:
    first, second = (
        next(draw_batches(sections(), 32, 3, np.random.default_rng(2), RECIPES["em"])) for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert first[0].shape == (3, 3, 32, 32)


def test_contrast_is_changed_and_sometimes_inverted_and_the_targets_stay() -> None:
    grey = np.tile(np.linspace(0, 1, 32, dtype=np.float16), (32, 1))
    # A flow along the grey: whatever turns the section turns both.
    section = Section(grey, np.stack([np.zeros_like(grey), np.ones_like(grey), grey] * 2))
    slopes = []
    for seed in range(60):
        image, targets = draw_crop(section, 32, np.random.default_rng(seed), RECIPES["em"])
        gradient = np.gradient(image)
        slopes.append(float((gradient[0] * targets[0] + gradient[1] * targets[1]).mean()) * 31)
    lowest, highest = RECIPES["em"].contrast
    assert 2 <= sum(slope < 0 for slope in slopes) <= 12
    assert min(abs(slope) for slope in slopes) > lowest - 0.1
    assert max(abs(slope) for slope in slopes) < highest + 0.1


@pytest.mark.parametrize("recipe", RECIPES)
def test_seeds_of_tests_and_demo_are_refused(recipe: str) -> None:
    with pytest.raises(ValueError, match="train on 10000 and above"):
        RECIPES[recipe].sections(9_999)


@pytest.mark.slow
def test_sections_of_scenes_show_image_and_flows() -> None:
    one, other = scene_sections(10_400, stride=24), scene_sections(10_400, stride=24)
    assert len(one) > 8
    for section, again in zip(one, other, strict=True):
        np.testing.assert_array_equal(section.image, again.image)
        lengths = np.hypot(section.targets[0], section.targets[1])[section.targets[2] > 0]
        assert np.median(lengths) == pytest.approx(1, abs=0.01)


def test_trained_weights_load_as_networks(tmp_path: Path) -> None:
    network = train_compact(
        sections(), sections(1), steps=1, checkpoint=tmp_path / "checkpoint.pt", size=32, batch=2
    )
    paths = write_weights(network, tmp_path)
    assert [path.name for path in paths] == [
        "phantom-compact-cells.safetensors",
        "phantom-compact-nuclei.safetensors",
    ]
    for path, kind in zip(paths, ("cells", "nuclei"), strict=True):
        assert load_network(str(path), kind, "cpu") is not None
    assert (tmp_path / "checkpoint.pt").is_file()


@pytest.mark.slow
def test_the_command_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "spherovem_core.synthetic.compact_training", "--help"]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "--phantoms" in done.stdout
