"""Input of the readers of this folder: bytes in memory or a mapped file.

Readers return positions instead of copies, so that an hour of video needs no memory of its size.
"""

from mmap import mmap

Buffer = bytes | mmap
"""Both can be searched and indexed; slices of both are copies, of a memoryview over them not."""
