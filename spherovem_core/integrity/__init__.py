"""Check of finished results against what they held when they were written, and the two ways on from a change."""

from spherovem_core.integrity.adopt import adopt
from spherovem_core.integrity.adoption import Adoption
from spherovem_core.integrity.recompute import recompute
from spherovem_core.integrity.record import record_results
from spherovem_core.integrity.verify import ArtifactState, verify_results

__all__ = ["Adoption", "ArtifactState", "adopt", "recompute", "record_results", "verify_results"]
