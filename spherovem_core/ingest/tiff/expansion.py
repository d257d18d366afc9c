"""The most that compressed pixels can expand to, so that a damaged size asks for no more memory than that."""

import math

from tifffile import COMPRESSION, TiffPage

# The most bytes from one byte: packbits repeats a byte 128 times in two, deflate 258 times in two bits, LZW by codes of 12 bits.
_MOST = {
    COMPRESSION.NONE: 1,
    COMPRESSION.PACKBITS: 64,
    COMPRESSION.LZW: 2731,
    COMPRESSION.DEFLATE: 1032,
    COMPRESSION.ADOBE_DEFLATE: 1032,
    COMPRESSION.ZSTD: 2**15,
}
# JPEG 2000 stores a blank image in almost nothing: 3000 x 3000 pixels of 16 bits in 191 bytes, which is 94,000 to one.
_OTHERWISE = 2**18
_SMALL_BYTES = 2**20


def expansion_fault(page: TiffPage, stored_bytes: int) -> str:
    """Describe a page whose size does not fit the bytes that it is stored in; return an empty text if it does."""
    shape = " × ".join(map(str, page.shape))
    if not page.size:
        return f"damaged, an image of {shape or 'no'} pixels; copy it again"
    itemsize = 1 if page.dtype is None else page.dtype.itemsize
    needed = math.prod(page.shape) * itemsize
    # Tiles and strips reach beyond the edge of the image.
    needed = max(needed, math.prod(page.chunks) * itemsize)
    most = _MOST.get(page.compression, _OTHERWISE) * stored_bytes + _SMALL_BYTES
    if needed <= most:
        return ""
    return f"damaged, {stored_bytes} bytes of data cannot hold {shape} pixels; copy it again"
