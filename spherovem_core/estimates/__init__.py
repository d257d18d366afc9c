"""What a run will need, told from shapes and parameters before its first stage: disk, memory and time."""

from spherovem_core.estimates.memory import peak_memory_bytes
from spherovem_core.estimates.rates import Rates, known_rates
from spherovem_core.estimates.sizes import OutputSize, SourceVolume, output_sizes
from spherovem_core.estimates.work import work_units

__all__ = [
    "OutputSize",
    "Rates",
    "SourceVolume",
    "known_rates",
    "output_sizes",
    "peak_memory_bytes",
    "work_units",
]
