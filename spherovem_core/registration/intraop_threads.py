"""Torch's own threads while many pairs are registered side by side."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_users = 0
_outside = 1


@contextmanager
def intraop_threads(count: int) -> Iterator[None]:
    """Let the calling thread's torch operators use `count` threads, and restore the former number after.

    Torch keeps the number a thread, with a process-wide default for new threads. Pairs run side by side in
    a pool, so each takes one thread: two pools of threads on the same cores wait for each other (measured:
    a 1024² product took 0.1 ms on one thread and 5 to 12 ms on two busy cores), and the order of
    a sum, hence its last bit, would depend on the number.
    """
    import torch

    global _users, _outside
    with _lock:
        if _users == 0:
            _outside = torch.get_num_threads()
        _users += 1
        before = _outside
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        with _lock:
            _users -= 1
