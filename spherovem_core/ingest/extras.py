"""The error for a package that a format needs and that is not installed."""

from spherovem_core.errors import MissingPackageError


def missing_extra(extra: str, what: str, error: ImportError) -> MissingPackageError:
    """Make the error that names the extra of pyproject.toml which brings the package.

    Parameters
    ----------
    extra
        Name of the extra, such as ``hdf5``.
    what
        What needs it, in the plural, such as ``HDF5 files``.
    error
        The import's error.
    """
    package = error.name or str(error)
    return MissingPackageError(
        f"{what} need the package {package.partition('.')[0]}, which is not installed; install it with: "
        f"pip install 'spherovem[{extra}]'"
    )
