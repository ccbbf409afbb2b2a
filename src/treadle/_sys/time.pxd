from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
