"""File locks: one holder among threads and processes, freed when the holder dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.locks import FileLocks

HOLD = """
import os, sys, time
from pathlib import Path
from tasks.locks import FileLocks
FileLocks(Path(sys.argv[1])).acquire_lock("key", "other process")
if sys.argv[2] == "fork" and os.fork() == 0:
    os.close(1)
    Path(sys.argv[1], "child").write_text(str(os.getpid()))
    Path(sys.argv[1], "child.ready").touch()
    time.sleep(60)
while sys.argv[2] == "fork" and not os.path.exists(sys.argv[1] + "/child.ready"):
    time.sleep(0.01)
print("held", flush=True)
time.sleep(60)
"""

ASK = """
import sys
from pathlib import Path
from tasks.locks import FileLocks
print(FileLocks(Path(sys.argv[1])).is_locked("key"))
"""


@pytest.fixture
def locks(tmp_path: Path) -> FileLocks:
    return FileLocks(tmp_path / "locks")


def hold_elsewhere(folder: Path, how: str) -> subprocess.Popen[str]:
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), how], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.stdout.close()
    return process


def test_a_second_holder_waits_for_the_release(locks: FileLocks) -> None:
    order: list[str] = []
    assert locks.acquire_lock("key", "first")

    def second() -> None:
        locks.acquire_lock("key", "second")
        order.append("second has it")
        locks.release_lock("key", "second")

    thread = threading.Thread(target=second)
    thread.start()
    time.sleep(0.1)
    order.append("first releases")
    locks.release_lock("key", "first")
    thread.join(10)
    assert order == ["first releases", "second has it"]


def test_many_threads_never_hold_one_lock_together(locks: FileLocks) -> None:
    inside, most = 0, 0

    def work(number: int) -> None:
        nonlocal inside, most
        FileLocks(locks.folder).acquire_lock("key", str(number))
        inside += 1
        most = max(most, inside)
        time.sleep(0.002)
        inside -= 1
        locks.release_lock("key", str(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1


def test_acquiring_is_reentrant_for_the_holder_and_ends_at_the_timeout_for_others(locks: FileLocks) -> None:
    assert locks.acquire_lock("key", "me")
    assert locks.acquire_lock("key", "me")
    assert not locks.acquire_lock("key", "you", acquire_timeout=0)
    assert locks.acquire_lock("another key", "you", acquire_timeout=0)
    assert locks.is_locked("key")
    assert locks.is_lock_holder("key", "me")
    assert not locks.is_lock_holder("key", "you")
    locks.release_lock("key", "me")
    locks.release_lock("another key", "you")
    assert not locks.is_locked("key")


def test_only_the_holder_may_release(locks: FileLocks) -> None:
    locks.acquire_lock("key", "me")
    with pytest.raises(ValueError, match="only its holder can release"):
        locks.release_lock("key", "you")
    locks.release_lock("key", "me")
    with pytest.raises(ValueError, match="does not hold"):
        locks.release_lock("key", "me")


def test_hold_timeout_is_refused(locks: FileLocks) -> None:
    with pytest.raises(ValueError, match="not supported"):
        locks.acquire_lock("key", "me", hold_timeout=1)


def test_a_lock_is_freed_when_its_process_is_killed(locks: FileLocks) -> None:
    process = hold_elsewhere(locks.folder, "alone")
    assert locks.is_locked("key")
    assert not locks.wait_for_lock("key", timeout=0.3)
    process.kill()
    process.wait()
    assert locks.acquire_lock("key", "me", acquire_timeout=5)
    locks.release_lock("key", "me")


def test_a_forked_child_does_not_keep_the_lock_of_its_killed_parent(locks: FileLocks) -> None:
    process = hold_elsewhere(locks.folder, "fork")
    process.kill()
    process.wait()
    child = locks.folder / "child"
    try:
        assert locks.acquire_lock("key", "me", acquire_timeout=5)
    finally:
        os.kill(int(child.read_text()), signal.SIGKILL)
    locks.release_lock("key", "me")


def test_is_locked_leaves_the_lock_with_its_holder(locks: FileLocks) -> None:
    locks.acquire_lock("key", "me")
    assert locks.is_locked("key")
    answer = subprocess.run(
        [sys.executable, "-c", ASK, str(locks.folder)], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "True\n"
    locks.release_lock("key", "me")
