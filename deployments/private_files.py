"""Files that only their owner may read: passwords and keys."""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
"""Values that need no quotes."""

SPECIAL = re.compile(r'["\\$`]')
"""Characters with a meaning between double quotes."""


def write_private(path: Path, content: bytes) -> None:
    """Write a file with rights 600, complete or not at all, also after a power cut."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def write_private_variables(path: Path, variables: Mapping[str, str]) -> None:
    """Write variables as lines that a shell and systemd read in the same way, with rights 600."""
    write_private(path, variable_lines(variables).encode())


def variable_lines(variables: Mapping[str, str]) -> str:
    """Return variables as lines for a shell and for systemd.

    Both take quoted text with the same four characters escaped. Without quotes systemd drops backslashes, and a shell ends the
    value at a space.
    """
    return "".join(f"{name}={_quoted(value)}\n" for name, value in variables.items())


def _quoted(value: str) -> str:
    if PLAIN.fullmatch(value):
        return value
    return '"' + SPECIAL.sub(r"\\\g<0>", value) + '"'
