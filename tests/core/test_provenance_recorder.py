"""The recorder of a step's seconds and peak memory."""

from spherovem_core.store.provenance import StepRecorder


def test_peak_is_known_as_soon_as_the_step_begins() -> None:
    # A step of a few milliseconds asks before the sampling thread has run: in CI, where cores are busy, it found 0.
    recorder = StepRecorder()
    recorder._thread.start = lambda: None  # type: ignore[method-assign]
    recorder._thread.join = lambda timeout=None: None  # type: ignore[method-assign]
    with recorder:
        assert recorder.peak_memory_bytes > 1e6
