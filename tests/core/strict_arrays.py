"""Stand-in for CuPy that computes with NumPy and refuses what CuPy refuses, so that array functions of a GPU run without one.

`stand_in` puts modules named cupy and cupyx.scipy.ndimage in place; the device setting `STAND_IN` then takes them. Refused with a
TypeError or AttributeError are: conversion of a device array to NumPy other than by ``get``, NumPy arrays as arguments, operands,
indices or values of device arrays, NumPy functions on device arrays, and every function, keyword and array method that the
recorded version of CuPy lacks. Results of reductions stay on the device, as arrays without axes. The stand-in is no proof of
CuPy's own kernels, of their rounding, or of its memory.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Self

import numpy as np
import pytest
import scipy.ndimage
from gpu_signatures import recorded, signature
from numpy.lib.mixins import NDArrayOperatorsMixin

from spherovem_core.utils.accelerator import select_accelerator

STAND_IN = "cuda:99"
"""Device setting that takes the stand-in, where it is in place."""
CALLED: set[str] = set()
"""Functions of the stand-in that were called since the process began."""
TO_DEVICE = ("cupy.array", "cupy.asarray", "cupy.ascontiguousarray")
HOST_VALUES = ("shape", "ndim", "size", "itemsize", "nbytes", "dtype")


class DeviceArray(NDArrayOperatorsMixin):
    """Array of the stand-in's device.

    Parameters
    ----------
    host : ndarray
        Its values, which only `get` hands out.
    """

    def __init__(self, host: np.ndarray) -> None:
        self._host = np.asarray(host)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("implicit conversion of a device array to NumPy; use gpu.to_host")

    def __array_function__(self, function: Callable[..., Any], *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was called with a device array; use gpu.xp")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        refuse_host_arrays(ufunc.__name__, inputs)
        refuse_host_arrays(ufunc.__name__, options)
        out = options.pop("out", ())
        kept = {"out": tuple(to_numpy(each) for each in out)} if out else {}
        result = getattr(ufunc, method)(*to_numpy(inputs), **to_numpy(options), **kept)
        return out[0] if out else on_device(result)

    def get(self) -> np.ndarray:
        """Copy the array to the host."""
        return self._host.copy()

    def __getattr__(self, name: str) -> Any:
        """Return what CuPy's array has of this name."""
        if name.startswith("_"):
            raise AttributeError(name)
        if name in HOST_VALUES:
            return getattr(self._host, name)
        if name == "T":
            return on_device(self._host.T)
        if name not in recorded()["array"]:
            raise AttributeError(f"CuPy's arrays have no {name}")
        own = getattr(self._host, name)
        return _wrapped(f"ndarray.{name}", own) if callable(own) else on_device(own)

    def __getitem__(self, key: Any) -> Self:
        refuse_host_arrays("an index", (key,))
        return on_device(self._host[to_numpy(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        refuse_host_arrays("an assignment", (key, value))
        self._host[to_numpy(key)] = to_numpy(value)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[Self]:
        return (on_device(each) for each in self._host)

    def __bool__(self) -> bool:
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __index__(self) -> int:
        return self._host.__index__()


class Namespace(ModuleType):
    """A package of CuPy, computed by one of NumPy's or SciPy's."""

    def __init__(self, package: str, host: ModuleType) -> None:
        super().__init__(package)
        self.__path__ = []
        self._host = host

    def __getattr__(self, name: str) -> Any:
        """Return a function, type or constant that CuPy has too."""
        full = f"{self.__name__}.{name}"
        if name.startswith("_") or full not in recorded()["names"]:
            raise AttributeError(f"{full} is not in CuPy {recorded()['packages']['cupy-cuda13x']}")
        own = getattr(self._host, name)
        known = signature(full)
        if isinstance(own, type) or not callable(own):
            return own

        def call(*arguments: Any, **options: Any) -> Any:
            if known is not None:
                known.bind(*arguments, **options)
            CALLED.add(full)
            if full in TO_DEVICE:
                return on_device(np.array(to_numpy(arguments[0]), *arguments[1:], **options))
            return _wrapped(full, own)(*arguments, **options)

        return call


def refuse_host_arrays(what: str, values: Any) -> None:
    """Raise if there is a NumPy array with axes among the values, or in lists of them.

    Raises
    ------
    TypeError
        As CuPy does.
    """
    if isinstance(values, np.ndarray) and values.ndim:
        raise TypeError(
            f"{what} got a NumPy array of shape {values.shape} where the device is; use gpu.to_device"
        )
    if isinstance(values, dict):
        values = tuple(values.values())
    if isinstance(values, tuple | list):
        for each in values:
            refuse_host_arrays(what, each)


def to_numpy(values: Any) -> Any:
    """Replace device arrays by their values, also in lists and dictionaries."""
    if isinstance(values, DeviceArray):
        return values._host
    if isinstance(values, dict):
        return {name: to_numpy(each) for name, each in values.items()}
    if isinstance(values, tuple | list):
        return type(values)(to_numpy(each) for each in values)
    return values


def on_device(values: Any) -> Any:
    """Wrap arrays and numbers of NumPy, also in lists; other values stay."""
    if isinstance(values, np.ndarray | np.generic):
        return DeviceArray(values)
    if isinstance(values, tuple | list):
        return type(values)(on_device(each) for each in values)
    return values


def _wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        refuse_host_arrays(name, arguments)
        refuse_host_arrays(name, options)
        return on_device(function(*to_numpy(arguments), **to_numpy(options)))

    return call


class _Device:
    """The one device; it may be entered like CuPy's."""

    def __init__(self, number: int) -> None:
        if f"cuda:{number}" != STAND_IN:
            raise RuntimeError(f"cudaErrorInvalidDevice: {number}")

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class _Pool:
    def free_all_blocks(self) -> None:
        """Free nothing: NumPy has no pool."""


@contextmanager
def stand_in() -> Iterator[None]:
    """Let the device setting `STAND_IN` take the stand-in."""
    cupy = Namespace("cupy", np)
    vars(cupy).update(
        ndarray=DeviceArray,
        get_default_memory_pool=_Pool,
        get_default_pinned_memory_pool=_Pool,
        cuda=ModuleType("cupy.cuda"),
    )
    cupy.cuda.Device = _Device
    packages = {
        "cupy": cupy,
        "cupyx": ModuleType("cupyx"),
        "cupyx.scipy": ModuleType("cupyx.scipy"),
        "cupyx.scipy.ndimage": Namespace("cupyx.scipy.ndimage", scipy.ndimage),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, module in packages.items():
            patch.setitem(sys.modules, name, module)
        select_accelerator.cache_clear()
        try:
            yield
        finally:
            select_accelerator.cache_clear()
