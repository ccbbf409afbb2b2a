"""The load generators for machines without a C compiler or OpenSSL's headers, in Python.

`python -m bench.generator load|load_tls|load_udp|handshakes ...` takes the arguments of the program
in bench/c and prints the same line. It costs more than the server it drives, so that throughput and
latency are its own; the server's CPU time per message remains usable, with the difference that the
server is less loaded and so handles fewer messages in one turn.
"""

import json
import sys

from bench.load import LoadError, measure
from bench.loads import LOADS


def main(arguments: list[str]) -> int:
    name, *parameters, warmup, seconds, pid = arguments
    try:
        facts = measure(LOADS[name](*parameters), float(warmup), float(seconds), int(pid))
    except (LoadError, OSError) as error:
        print(json.dumps({"error": str(error)}))
        return 1
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
