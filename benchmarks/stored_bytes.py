"""Bytes on disk of each array of results, all levels, relative to the raw image before compression.

    python benchmarks/stored_bytes.py RESULTS [RESULTS ...]

Several results folders of one acquisition, such as one of each kind of storage, are printed side by side.
"""

import argparse
from pathlib import Path

from spherovem_core.registry import pipeline_of_results
from spherovem_core.store import Layout, open_array
from spherovem_core.store.files import bytes_in
from spherovem_core.store.groups import bytes_of_levels
from spherovem_core.store.layout import RAW
from spherovem_core.workflow import ArrayOutput


def bytes_by_array(folder: Path) -> dict[str, int]:
    """Return the bytes on disk of each array, and of what is kept of discarded ones."""
    layout = Layout(folder.absolute())
    outputs = [output for step in pipeline_of_results(folder).steps for output in step.outputs]
    found = {
        output.group: bytes_of_levels(layout.volume / output.group)
        for output in outputs
        if isinstance(output, ArrayOutput)
    }
    kept = layout.folder / "discarded"
    return {**found, "kept of discarded arrays": bytes_in(kept)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path)
    folders = parser.parse_args().results
    raw = open_array(Layout(folders[0].absolute()), RAW).array.nbytes
    columns = [bytes_by_array(folder) for folder in folders]
    names = list(dict.fromkeys(name for column in columns for name in column))
    print(f"{'array':40s}" + "".join(f"{folder.parent.name[-20:]:>24s}" for folder in folders))
    for name in [*names, "all"]:
        sizes = [sum(column.values()) if name == "all" else column.get(name, 0) for column in columns]
        print(f"{name:40s}" + "".join(f"{size / 1e6:12.2f} MB {size / raw:6.2f} x" for size in sizes))
    print(f"raw image before compression: {raw / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
