"""Parameters and phantom of a whole pipeline that runs in well under a minute."""

from typing import Any

from spherovem_core.synthetic.phantom import PhantomParameters

TINY: dict[str, Any] = {
    "denoising": {
        "training_slices": 8,
        "validation_slices": 2,
        "patch_size": 32,
        "patches_per_slice": 16,
        "epochs": 3,
        "network_channels": 8,
        "batch_size": 8,
    },
    "segmentation": {
        "cells": {"network": "phantom-compact", "flow_spacing_nm": 160.0, "min_diameter_um": 1.0},
        "nuclei": {"network": "phantom-compact", "flow_spacing_nm": 160.0},
    },
}
PHANTOM = PhantomParameters(
    shape=(20, 160, 150),
    spacing_nm=(120.0, 40.0, 40.0),
    seed=7,
    cell_diameter_um=2.5,
    nanoparticle_volume_fraction=0.01,
)
