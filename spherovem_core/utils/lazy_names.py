"""Names of a package that are imported when they are first used, so that a package costs what is used of it."""

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def lazy_names(package: str, file: str) -> Callable[[str], Any]:
    """Return the function ``__getattr__`` of a package whose names are imported under ``if TYPE_CHECKING:``.

    Type checkers see plain imports; at run time each name is imported when it is first asked for (PEP 562). A name must not be
    that of a module of the package, which would take its place.

    Parameters
    ----------
    package, file
        ``__name__`` and ``__file__`` of the package.
    """
    origins = {
        alias.asname or alias.name: (statement.module, alias.name)
        for block in ast.parse(Path(file).read_text(encoding="utf-8")).body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
    }

    def find(name: str) -> Any:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = origins[name]
        return getattr(import_module(module), original)

    return find
