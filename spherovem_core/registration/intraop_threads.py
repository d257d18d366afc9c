"""Limit of torch's own threads while many pairs are registered in parallel."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_users = 0
_outside = 1


@contextmanager
def intraop_threads(count: int) -> Iterator[None]:
    """Let torch operators of the calling thread use `count` threads, and restore the previous number after.

    Torch keeps this number per thread, with a process-wide default for new threads. Pairs run in parallel in a pool, so each
    uses one thread. Two pools of threads on the same cores would wait for each other (a product of 1024² took 0.1 ms on
    one thread and 5 to 12 ms on two busy cores), and the order of a sum, hence its last bit, would depend on the number.
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
