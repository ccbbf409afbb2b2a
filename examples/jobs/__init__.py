"""Work that leaves the process: a queue in Redis, by taskiq, with both ends on treadle.

    python -m jobs.worker                 in the folder examples: does what comes, until Ctrl-C
    python -m jobs.send 100000 200000     in another terminal: sends two jobs, prints the results

Both take the address of the Redis from REDIS_URL, redis://localhost otherwise.
"""
