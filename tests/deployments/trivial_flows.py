"""Flow that replaces the pipeline in tests of how runs start, end and restart."""

import time
from pathlib import Path

from prefect import flow


@flow(name="write-steps")
def write_steps(folder: Path, steps: int = 3, seconds: float = 0.0) -> int:
    """Write one file per step unless it exists; return how many this run wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for step in range(steps):
        file = folder / f"step-{step}"
        if not file.exists():
            time.sleep(seconds)
            file.write_text(str(step))
            written += 1
    (folder / "runs").open("a").write(f"{written}\n")
    return written
