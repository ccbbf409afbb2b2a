"""The C library's allocator, in the state that it has in a program which has run for a while.

asyncio and others receive into a new buffer of 256 KiB and shrink it to what came. glibc takes a
block of this size from the kernel, and gives it back, by three system calls and with two page
faults: some ten microseconds for each message. It stops once a larger such block has been freed
anywhere in the process (mallopt(3), M_MMAP_THRESHOLD), which soon happens in a real program; in a
small server it depends on what was imported. So a loop had two costs, three times apart, and which
of them a run showed was chance.

Here a large block is freed before anything is measured, in the processes of all loops alike. With
`BENCH_COLD=1` in the environment it is not: that shows what a small server costs that was just
started.
"""

import os

COLD = "BENCH_COLD"
"""In the environment: leave the allocator as it is."""

BLOCK = 4 * 1024 * 1024
"""Larger than any loop's buffer, smaller than the 32 MiB beyond which glibc does not learn."""


def warm() -> None:
    """Have had, and freed, one large block; any allocator may be asked."""
    if os.environ.get(COLD, "0") != "0":
        return
    block = bytearray(BLOCK)
    del block
