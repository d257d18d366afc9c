"""Functions of CuPy and cuCIM that the core calls, and their recorded signatures, read from the wheels without a GPU.

    python -m pip download --no-deps cupy-cuda13x==VERSION cucim-cu13==VERSION -d WHEELS
    python tests/core/gpu_signatures.py WHEELS

writes tests/data/gpu-signatures.json; run it again whenever constraints.txt raises one of the two. Nothing is imported from the
wheels: signatures are parsed from their Python sources, names of array methods are read from the compiled module.
"""

import ast
import inspect
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "data" / "gpu-signatures.json"
DISTRIBUTIONS = ("cupy-cuda13x", "cucim-cu13")
NAMESPACES = {"xp": "cupy", "ndi": "cupyx.scipy.ndimage", "ski": "cucim.skimage"}
"""Attributes of `Accelerator`, also the names of local variables, and the packages behind them on a GPU."""
WHOLE = ("cupy", "cupyx.scipy.ndimage")
"""Packages of which every function is recorded; of the others only what the core uses."""
UFUNC = "*args, out=..., dtype=..."
COMPILED = re.compile(rb"_ndarray_base\.([a-z_][a-zA-Z_]*)\b")


@dataclass(frozen=True)
class Use:
    """A name of a namespace in the code, and how it is called.

    Attributes
    ----------
    name
        With its package, such as ``cupy.clip``.
    where
        File and line.
    positional, keywords
        Arguments; None where it is not called or takes its arguments from a star.
    """

    name: str
    where: str
    positional: int | None
    keywords: tuple[str, ...]


@cache
def recorded() -> dict[str, Any]:
    """Read the committed table."""
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return table


@cache
def signature(name: str) -> inspect.Signature | None:
    """Return the recorded signature of a function; None for a type or a constant.

    Raises
    ------
    KeyError
        If the package does not have it.
    """
    text = recorded()["names"][name]
    return None if text is None else inspect.signature(eval(f"lambda {text}: None"))


def uses(folder: Path = ROOT / "spherovem_core") -> list[Use]:
    """Find the names of the array namespaces in the sources below a folder."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text())
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or id(node) in inner:
                continue
            name = _name(node)
            if name is not None:
                place = f"{path.relative_to(folder.parent)}:{node.lineno}"
                found.append(_use(name, place, calls.get(id(node))))
    return found


def _name(node: ast.Attribute) -> str | None:
    parts: list[str] = []
    value: ast.expr = node
    while isinstance(value, ast.Attribute):
        if value.attr in NAMESPACES and parts:
            return ".".join([NAMESPACES[value.attr], *reversed(parts)])
        parts.append(value.attr)
        value = value.value
    if isinstance(value, ast.Name) and value.id in NAMESPACES:
        return ".".join([NAMESPACES[value.id], *reversed(parts)])
    return None


def _use(name: str, place: str, call: ast.Call | None) -> Use:
    if call is None or any(isinstance(each, ast.Starred) for each in call.args):
        return Use(name, place, None, ())
    return Use(name, place, len(call.args), tuple(each.arg for each in call.keywords if each.arg))


class Sources:
    """Python sources of unpacked wheels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self, package: str) -> dict[str, tuple[str, str]]:
        """Return the public names of a package: module and name where each is defined."""
        found: dict[str, tuple[str, str]] = {}
        for node in self._tree(package).body:
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    found[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = (package, node.name)
        return {name: place for name, place in found.items() if not name.startswith("_")}

    def describe(self, module: str, name: str) -> str | None:
        """Return the parameters of a function without their defaults; None for what is no Python function or ufunc."""
        if module.partition(".")[0] not in ("cupy", "cupyx", "cucim") or not self._path(module):
            return None
        for node in self._tree(module).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return _parameters(node.args)
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == name for target in node.targets
            ):
                return _assigned(node.value)
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    if (alias.asname or alias.name) == name and node.module != module:
                        return self.describe(node.module, alias.name)
        return None

    def _path(self, module: str) -> Path | None:
        base = self.folder.joinpath(*module.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
        return None

    @cache  # noqa: B019
    def _tree(self, module: str) -> ast.Module:
        path = self._path(module)
        if path is None:
            raise FileNotFoundError(f"{module} has no Python source below {self.folder}")
        return ast.parse(path.read_text())


def _assigned(value: ast.expr) -> str | None:
    """Describe what an assignment makes: a ufunc, or another name of one that is compiled."""
    text = ast.unparse(value)
    made = isinstance(value, ast.Call) and "ufunc" in ast.unparse(value.func)
    return UFUNC if made or re.fullmatch(r"_core\.[a-z_]+", text) else None


def _parameters(arguments: ast.arguments) -> str:
    for group in (arguments.defaults, arguments.kw_defaults):
        group[:] = [None if default is None else ast.Constant(...) for default in group]
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        each.annotation = None
    for star in (arguments.vararg, arguments.kwarg):
        if star is not None:
            star.annotation = None
    return ast.unparse(arguments)


def extract(folder: Path) -> dict[str, Any]:
    """Make the table from unpacked wheels."""
    sources = Sources(folder)
    names = {
        f"{package}.{name}": sources.describe(*place)
        for package in WHOLE
        for name, place in sources.names(package).items()
    }
    for use in uses():
        if use.name not in names:
            names.update(_nested(sources, use.name))
    (compiled,) = (folder / "cupy" / "_core").glob("core.*.so")
    methods = {found.decode() for found in COMPILED.findall(compiled.read_bytes())}
    return {
        "packages": dict(_versions(folder)),
        "names": dict(sorted(names.items())),
        "array": sorted(methods),
    }


def _nested(sources: Sources, full: str) -> dict[str, str | None]:
    """Describe a name of a package within a recorded one, such as ``cupy.cuda.Device``; nothing where it is not there."""
    package, _, name = full.rpartition(".")
    places = sources.names(package)
    return {full: sources.describe(*places[name])} if name in places else {}


def _versions(folder: Path) -> Iterator[tuple[str, str]]:
    for name in DISTRIBUTIONS:
        (info,) = folder.glob(f"{name.replace('-', '_')}-*.dist-info")
        yield name, info.name.removesuffix(".dist-info").rpartition("-")[2]


def unpack(wheels: Path, folder: Path) -> None:
    """Unpack the Python sources and the compiled array type of the wheels in a folder.

    Raises
    ------
    FileNotFoundError
        If there is not exactly one wheel of each distribution.
    """
    for name in DISTRIBUTIONS:
        found = list(wheels.glob(f"{name.replace('-', '_')}-*.whl"))
        if len(found) != 1:
            raise FileNotFoundError(f"{wheels} holds {len(found)} wheels of {name}; expected one")
        with zipfile.ZipFile(found[0]) as wheel:
            for member in wheel.namelist():
                if member.endswith((".py", "/METADATA")) or member.startswith("cupy/_core/core."):
                    wheel.extract(member, folder)


def main() -> None:
    """Write the table from the wheels in the folder that is given."""
    with tempfile.TemporaryDirectory() as folder:
        unpack(Path(sys.argv[1]), Path(folder))
        table = extract(Path(folder))
    TABLE.write_text(json.dumps(table, indent=0) + "\n")
    print(f"{TABLE}: {len(table['names'])} names of {table['packages']}")


if __name__ == "__main__":
    main()
