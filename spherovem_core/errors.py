"""Errors of spherovem; each is also the builtin error that a caller would expect.

A message names the finding, the expectation and the remedy. A retry solves none of those below `SpheroVemError`.
"""

import errno


class SpheroVemError(Exception):
    """Base class of all errors that spherovem raises on purpose."""


class AcquisitionError(SpheroVemError, ValueError):
    """The acquisition on disk cannot be processed."""


class NoSlicesError(AcquisitionError, FileNotFoundError):
    """The source holds no slice of a known format."""


class SourceNotFoundError(NoSlicesError):
    """The source does not exist."""


class BadSlicesError(AcquisitionError):
    """One or more slices are missing, truncated, or differ in shape or type."""


class MissingSpacingError(AcquisitionError):
    """The voxel spacing is neither given nor found in the metadata."""


class ParameterError(SpheroVemError, ValueError):
    """A parameter is unknown, out of bounds, or does not fit the data."""


class ShapeMismatchError(SpheroVemError, ValueError):
    """Arrays that belong together differ in shape."""


class NetworkError(SpheroVemError, ValueError):
    """Segmentation or denoising weights are missing, damaged or of another architecture."""


class MissingNetworkError(NetworkError, FileNotFoundError):
    """The named weights do not exist."""


class LabelsError(SpheroVemError, ValueError):
    """Labels for comparison or training are missing or damaged, or do not fit their image."""


class CorrectionError(SpheroVemError, ValueError):
    """An operation or a journal of corrections is damaged, or does not fit the labels."""


class AuditError(SpheroVemError, ValueError):
    """A sample of an audit or its verdicts are missing or damaged, or do not fit the labels."""


class MixtureError(SpheroVemError, ValueError):
    """The intensity mixture cannot be fitted."""


class RegistrationError(SpheroVemError, ValueError):
    """A stack cannot be aligned."""


class IncompleteArtifactError(SpheroVemError, LookupError):
    """An array or table is absent, unfinished, damaged, or carries another digest."""


class ChangedArtifactError(SpheroVemError, ValueError):
    """A finished array, table or file is not the one that was computed: a person or another program changed it."""


class StoreNotWritableError(SpheroVemError, PermissionError):
    """The results folder cannot be written."""


class OutputExistsError(SpheroVemError, FileExistsError):
    """The output exists already, or another process is writing it."""


class DeviceError(SpheroVemError, RuntimeError):
    """The requested device cannot be used."""


class MissingPackageError(SpheroVemError, ImportError):
    """A package that an optional part needs is not installed."""


class DeadlineError(SpheroVemError, TimeoutError):
    """A step passed its deadline and stopped between two blocks."""


class FormatError(SpheroVemError, ValueError):
    """A results folder of a format that this version does not read."""


class RemoteSourceError(ConnectionError):
    """A server, or the network to it, failed: this says nothing about the files, and a retry may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.EIO


class RemoteAccessError(PermissionError):
    """A server refuses access to a source."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.EACCES
