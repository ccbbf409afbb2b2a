"""The loop: ready queue, timers, handles, wake-up, signals, hooks."""
