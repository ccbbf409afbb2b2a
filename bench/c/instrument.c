/* Lets a program under valgrind's callgrind say which part of it is counted. Loaded by ctypes.
 *
 * Outside of valgrind these requests do nothing, and cost a few instructions. */
#include <valgrind/callgrind.h>

void instrument_start(void) { CALLGRIND_START_INSTRUMENTATION; }

void instrument_stop(void) { CALLGRIND_STOP_INSTRUMENTATION; }

void instrument_zero(void) { CALLGRIND_ZERO_STATS; }

/* Write what was counted since the last time into a file of its own. */
void instrument_dump(void) { CALLGRIND_DUMP_STATS; }
