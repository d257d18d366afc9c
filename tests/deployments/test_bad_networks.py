"""Unusable weights end a run with one message before any array is written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from deployments.command_line.main import main
from deployments.run_parameters import network_parameter
from spherovem_core.segmentation.networks import WEIGHTS
from spherovem_core.store import Layout

pytestmark = pytest.mark.usefixtures("prefect_server")


def truncated(path: Path) -> None:
    path.write_bytes((WEIGHTS / "phantom-compact-cells.safetensors").read_bytes()[:400_000])


def cellpose_3(path: Path) -> None:
    torch.save({"downsample.down.res_down_0.conv.conv_0.0.weight": torch.zeros(1)}, path)


def other_backbone(path: Path) -> None:
    torch.save({"W2": torch.zeros(1), "encoder.cls_token": torch.zeros(1)}, path)


def no_weights(path: Path) -> None:
    path.write_text("<html>404</html>")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated, "truncated or of another kind"),
        (cellpose_3, "of Cellpose 3 architecture"),
        (other_backbone, "DINOv3 backbone"),
        (no_weights, "truncated or of another kind"),
    ],
)
def test_unusable_weights_end_in_one_message_and_no_array(
    make: Callable[[Path], None], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, root = tmp_path / "sound", tmp_path / "results"
    source.mkdir()
    for z in range(3):
        values = np.random.default_rng(z).integers(0, 255, (40, 48), dtype=np.uint8)
        tifffile.imwrite(source / f"slice_{z:04d}.tif", values, photometric="minisblack", metadata=None)
    weights = tmp_path / ("weights.safetensors" if make is truncated else "weights.pt")
    make(weights)
    # Only the nuclei have bad weights; they are segmented after the cells.
    arguments = ["process", source, "--results-root", root, "--spacing-nm", "50", "10", "10"]
    arguments += ["--network", "phantom-compact", "--set", f"{network_parameter('nuclei')}={weights}"]
    code = main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert code == 1
    assert message in error
    assert str(weights) in error
    assert error.startswith("spherovem: ")
    assert error.count("\n") == 1, error
    assert not Layout(root / "sound").volume.exists()
