"""Lengths that are fast to transform."""


def fast_length(n: int) -> int:
    """Return the smallest even length of at least `n` whose real Fourier transform is fast."""
    from scipy.fft import next_fast_len

    length = int(next_fast_len(n, real=True))
    while length % 2:
        length = int(next_fast_len(length + 1, real=True))
    return length
