"""Work that leaves the machine: a web application, a queue of jobs, and workers, each on treadle.

    redis-server &
    cd examples
    python -m jobs.web              # http://localhost:8000
    python -m jobs.worker           # as many of these as there are cores, on any machine

`tasks.py` is the file to read first: the jobs, and the broker that carries them. The queue is
taskiq's; what becomes of a job is told in a room of `treadle.hub`.
"""
