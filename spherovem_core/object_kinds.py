"""Kinds of objects. This module imports nothing, so that a command line that names them is there at once."""

from typing import Literal

ObjectKind = Literal["cells", "nuclei"]
OBJECT_KINDS: tuple[ObjectKind, ...] = ("cells", "nuclei")
CorrectedKind = Literal["cells", "nuclei", "nanoparticles"]
CORRECTED_KINDS: tuple[CorrectedKind, ...] = (*OBJECT_KINDS, "nanoparticles")
