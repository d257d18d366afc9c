"""Parameters of a phantom: tissue, particles, microscope and every scene."""

from __future__ import annotations

from spherovem_core.synthetic.phantom.microscope_parameters import MicroscopeParameters
from spherovem_core.synthetic.phantom.particle_parameters import ParticleParameters
from spherovem_core.synthetic.phantom.scenes.charging import ChargingParameters
from spherovem_core.synthetic.phantom.scenes.droplets import BodyParameters
from spherovem_core.synthetic.phantom.scenes.frame import FrameParameters
from spherovem_core.synthetic.phantom.scenes.heterochromatin import HeterochromatinParameters
from spherovem_core.synthetic.phantom.scenes.optics import OpticsParameters
from spherovem_core.synthetic.phantom.scenes.resin import ResinParameters
from spherovem_core.synthetic.phantom.scenes.stage import StageParameters
from spherovem_core.synthetic.phantom.tissue_parameters import TissueParameters


class PhantomParameters(
    TissueParameters,
    ParticleParameters,
    MicroscopeParameters,
    ResinParameters,
    BodyParameters,
    HeterochromatinParameters,
    ChargingParameters,
    FrameParameters,
    OpticsParameters,
    StageParameters,
):
    """Parameters of a synthetic spheroid acquisition.

    Grey values are on the 8-bit scale. Membranes lie near 60, cytoplasm near 128, clefts and vesicles near 150 and
    nanoparticles near 220, before the microscope adds blur, drift and noise. By default every scene is off; `settings_of`
    returns the parameters that turn one on.
    """
