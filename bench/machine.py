"""Where and when a run was made: what one has to know to compare it with another."""

import datetime
import os
import platform
from pathlib import Path

BUSY = 0.25
"""Load average per core above which a run starts on a machine that does something else, too."""


def facts() -> dict[str, object]:
    """Everything about the machine that goes into the JSON; taken before the first run."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "processor": processor(),
        "cores": cores(),
        "load_average": round(os.getloadavg()[0], 2),
        "libc": " ".join(platform.libc_ver()),
        "environment": {
            name: value for name, value in os.environ.items() if name.startswith("TREADLE_")
        },
    }


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def remarks() -> list[str]:
    """What about the machine makes figures doubtful; taken before the first run."""
    found = []
    load = os.getloadavg()[0]
    if load > BUSY * cores():
        found.append(f"the machine was busy when the run began (load average {load:.1f})")
    if cores() < 2:
        found.append("one core only: the load ran on the server's core")
    return found
