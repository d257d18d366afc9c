"""Phantoms: synthetic acquisitions of spheroids with exact truth."""

from spherovem_core.synthetic.phantom.acquisition import Faults, write_acquisition
from spherovem_core.synthetic.phantom.generate import make_phantom
from spherovem_core.synthetic.phantom.parameters import PhantomParameters
from spherovem_core.synthetic.phantom.phantom import Phantom
from spherovem_core.synthetic.phantom.scenes.registry import SCENES, settings_of
from spherovem_core.synthetic.phantom.truth import read_truth, write_truth

__all__ = [
    "SCENES",
    "Faults",
    "Phantom",
    "PhantomParameters",
    "make_phantom",
    "read_truth",
    "settings_of",
    "write_acquisition",
    "write_truth",
]
