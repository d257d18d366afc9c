"""Phantoms: synthetic acquisitions of spheroids with exact truth."""

from spherovem_core.synthetic.phantom.acquisition import Faults, write_acquisition
from spherovem_core.synthetic.phantom.generate import Phantom, make_phantom
from spherovem_core.synthetic.phantom.parameters import PhantomParameters
from spherovem_core.synthetic.phantom.truth import read_truth, write_truth

__all__ = [
    "Faults",
    "Phantom",
    "PhantomParameters",
    "make_phantom",
    "read_truth",
    "write_acquisition",
    "write_truth",
]
