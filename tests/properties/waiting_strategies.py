"""Random programs for `waiting_programs`: strategies that Hypothesis makes them with."""

from __future__ import annotations

from hypothesis import strategies as st

delays = st.integers(1, 5)
limits = st.sampled_from([1, 2, 3, 4, 5, None, 0, -1])
few = st.integers(0, 5)


def step(name, *arguments):
    """Return the strategy for a step; an argument that is no strategy is taken as it is."""
    return st.tuples(
        *[
            argument if isinstance(argument, st.SearchStrategy) else st.just(argument)
            for argument in (name, *arguments)
        ]
    )


def weighted(choices):
    """Return the strategy for one of several steps, each as often as its weight says."""
    steps = [step for step, weight in choices.items() for _ in range(weight)]
    return st.sampled_from(range(len(steps))).flatmap(steps.__getitem__)


def written(leaves, branches, most=24):
    """Return tasks made of these steps; `branches` makes those that have steps."""
    leaf = weighted(leaves)
    bodies = st.recursive(
        st.lists(leaf, max_size=5),
        lambda inner: st.lists(weighted({leaf: 5, **branches(inner)}), max_size=5),
        max_leaves=most,
    )
    return st.lists(bodies, min_size=1, max_size=4)


def races(waits, provokes):
    """Return tasks that wait, and a last one that wakes and cancels them in the same turns.

    Where two things happen to a task before it runs again is where primitives are wrong.
    """
    wait = weighted(waits)
    within = st.lists(wait, min_size=1, max_size=2)
    waiter = st.lists(weighted({wait: 4, **around(within)}), min_size=1, max_size=2)
    driver = st.lists(
        weighted(
            {
                **provokes,
                step("cancel", st.integers(0, 3)): 3,
                step("open", gates): 1,
                step("turns", 1): 2,
                step("reschedule", few, 0): 1,
            }
        ),
        min_size=3,
        max_size=9,
    )
    waiters = st.lists(waiter, min_size=2, max_size=4)
    return st.tuples(waiters, driver).map(lambda both: [*both[0], [("turns", 1), *both[1]]])


gates = st.integers(0, 1)

ALWAYS = {
    step("turns", st.integers(1, 3)): 2,
    step("sleep", st.integers(0, 4)): 2,
    step("cancel", few): 2,
    step("gate", gates): 1,
    step("open", gates): 1,
}


def around(inner):
    """Return the steps that contain steps, of every program."""
    return {
        step("timeout", limits, inner): 2,
        step("wait_for", limits, inner): 2,
        step("survive", st.booleans(), inner): 1,
        step("last", inner, inner): 1,
    }


def grouping(inner):
    """Return the steps that make tasks."""
    some = st.lists(inner, min_size=1, max_size=3)
    patience = st.sampled_from([None, 1, 2, 3, 0])
    whens = st.sampled_from(["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"])
    return {
        **around(inner),
        step("attempt", inner): 1,
        step("timeout_at", limits, inner): 1,
        step("group", st.lists(inner, max_size=3), inner): 3,
        step("gather", st.booleans(), st.lists(inner, max_size=3)): 2,
        step("shield", inner): 2,
        step("wait", whens, patience, some): 2,
        step("as_completed", patience, some): 1,
        step("as_completed_async", patience, some): 1,
    }


gated = st.lists(
    weighted({step("gate", gates): 4, step("fail"): 1, step("turns", 1): 1}), max_size=3
)
group_programs = st.tuples(
    st.just(()),
    st.one_of(
        written({**ALWAYS, step("fail"): 2, step("reschedule", few, limits): 1}, grouping),
        races({step("gate", gates): 1, **grouping(gated)}, {step("open", gates): 3}),
    ),
)

which = st.integers(0, 1)
items = st.integers(0, 9)
kinds_of_queue = st.sampled_from(["Queue", "PriorityQueue", "LifoQueue"])
queue_leaves = {
    **ALWAYS,
    step("put", which, items): 6,
    step("get", which): 6,
    step("put_nowait", which, items): 2,
    step("get_nowait", which): 2,
    step("task_done", which): 1,
    step("join", which): 1,
    step("shutdown", which, st.booleans()): 1,
    step("size", which): 1,
}
queues = step("queue", kinds_of_queue, st.integers(0, 2))
small_queues = step("queue", kinds_of_queue, st.just(1))
queue_programs = st.one_of(
    st.tuples(st.lists(queues, min_size=1, max_size=2), written(queue_leaves, around)),
    st.tuples(
        queues.map(lambda made: [made]),
        races({step("get", 0): 6, step("join", 0): 1}, {step("put_nowait", 0, items): 5}),
    ),
    st.tuples(
        small_queues.map(lambda made: [made]),
        races({step("put", 0, items): 6, step("join", 0): 1}, {step("get_nowait", 0): 5}),
    ),
    st.tuples(
        small_queues.map(lambda made: [made]),
        races(
            {step("put", 0, items): 3, step("get", 0): 3, step("join", 0): 1},
            {
                step("put_nowait", 0, items): 3,
                step("get_nowait", 0): 3,
                step("task_done", 0): 1,
                step("shutdown", 0, st.booleans()): 1,
            },
        ),
    ),
)

LOCK, PERMITS, BOUNDED, EVENT, CONDITION, BARRIER = range(6)
counts = st.integers(1, 2)
lock_things = st.tuples(
    st.just(("Lock",)),
    step("Semaphore", st.integers(0, 2)),
    step("BoundedSemaphore", counts),
    st.just(("Event",)),
    st.just(("Condition",)),
    step("Barrier", st.integers(1, 3)),
)
CALLS = {
    LOCK: ["acquire", "release"],
    PERMITS: ["acquire", "release"],
    BOUNDED: ["acquire", "release"],
    EVENT: ["set", "clear", "wait"],
    CONDITION: ["acquire", "release", "notify_all"],
    BARRIER: ["wait", "wait", "reset", "abort"],
}


pause = st.lists(step("turns", 1), max_size=1)
notify = st.sampled_from(
    [
        ("call", CONDITION, "notify"),
        ("call", CONDITION, "notify", 2),
        ("call", CONDITION, "notify_all"),
        ("cancel", 0),
        ("cancel", 1),
    ]
)


def locking(*chosen):
    """Return the programs about these things."""
    calls = [("call", which, name) for which in chosen for name in CALLS[which]]
    leaves = {**ALWAYS, st.sampled_from(calls): 6, step("state"): 1}

    def branches(inner):
        held = [which for which in chosen if which != EVENT]
        if CONDITION not in chosen:
            return {**around(inner), step("hold", st.sampled_from(held), inner): 6}
        steps = [
            step("call", CONDITION, "wait"),
            step("call", CONDITION, "notify", counts),
            step("call", CONDITION, "notify_all"),
            step("until", CONDITION, counts),
        ]
        within = st.lists(st.one_of(*steps, *ALWAYS), max_size=3)
        return {
            **around(inner),
            step("hold", CONDITION, within): 8,
            step("hold", CONDITION, inner): 2,
        }

    waits = {
        LOCK: {step("hold", LOCK, pause): 4, step("call", LOCK, "acquire"): 2},
        PERMITS: {step("hold", PERMITS, pause): 4, step("call", PERMITS, "acquire"): 2},
        BOUNDED: {step("hold", BOUNDED, pause): 2},
        EVENT: {step("call", EVENT, "wait"): 2},
        CONDITION: {step("hold", CONDITION, st.just([("call", CONDITION, "wait")])): 8},
        BARRIER: {step("call", BARRIER, "wait"): 4},
    }
    provoke = {
        LOCK: {step("call", LOCK, "release"): 2},
        PERMITS: {step("call", PERMITS, "release"): 4},
        BOUNDED: {step("call", BOUNDED, "release"): 1},
        EVENT: {step("call", EVENT, "set"): 2, step("call", EVENT, "clear"): 2},
        CONDITION: {
            step("hold", CONDITION, st.lists(notify, max_size=3)): 4,
            step("call", CONDITION, "acquire"): 1,
            step("call", CONDITION, "release"): 1,
            notify: 2,
        },
        BARRIER: {step("call", BARRIER, "abort"): 1, step("call", BARRIER, "reset"): 1},
    }
    racing = races(
        {wait: weight for which in chosen for wait, weight in waits[which].items()},
        {call: weight for which in chosen for call, weight in provoke[which].items()},
    )
    return st.tuples(lock_things, st.one_of(written(leaves, branches), racing))


chunks = st.text("ab\n;", max_size=6).map(str.encode)
separators = st.sampled_from([b"\n", b";", b"ab", b"a;b", b""])
reading = weighted(
    {
        step("read", st.integers(-1, 6)): 2,
        step("readexactly", st.integers(-1, 6)): 2,
        step("readuntil", separators): 2,
        step("readuntil", st.lists(separators, max_size=3).map(tuple)): 1,
        step("iterate", st.integers(1, 3)): 1,
        step("readline"): 2,
    }
)
stream_programs = st.tuples(
    st.tuples(step("reader", st.integers(1, 8))),
    st.one_of(
        written(
            {
                **ALWAYS,
                step("feed", chunks): 10,
                reading: 10,
                step("end"): 1,
                step("lose"): 1,
                step("at_eof"): 1,
            },
            around,
        ),
        races(
            {reading: 1},
            {step("feed", chunks): 6, step("end"): 1, step("lose"): 1, step("at_eof"): 1},
        ),
    ),
)

KINDS = {
    "queues": queue_programs,
    "locks": locking(LOCK, PERMITS, BOUNDED),
    "events": locking(EVENT, BARRIER, LOCK),
    "conditions": locking(CONDITION, EVENT),
    "groups": group_programs,
    "streams": stream_programs,
}


THINGS = (
    ("Lock",),
    ("Semaphore", 0),
    ("BoundedSemaphore", 1),
    ("Event",),
    ("Condition",),
    ("Barrier", 2),
)
CLASSICS = {
    "a get that is woken and cancelled leaves the item to the next": (
        "queues",
        (
            [("queue", "Queue", 1)],
            [
                [("get", 0)],
                [("get", 0)],
                [("turns", 1), ("put_nowait", 0, 0), ("cancel", 0), ("put_nowait", 0, 1)],
            ],
        ),
    ),
    "a put that is woken and cancelled leaves the room to the next": (
        "queues",
        (
            [("queue", "Queue", 1)],
            [
                [("put", 0, 0), ("put", 0, 1)],
                [("put", 0, 2)],
                [("turns", 1), ("get_nowait", 0), ("cancel", 0), ("turns", 2), ("size", 0)],
            ],
        ),
    ),
    "a lock that is handed to a cancelled task goes to the next": (
        "locks",
        (
            THINGS,
            [
                [("hold", LOCK, [("turns", 2)])],
                [("hold", LOCK, [])],
                [("hold", LOCK, [])],
                [("turns", 1), ("turns", 1), ("cancel", 1)],
            ],
        ),
    ),
    "a permit that is handed to a cancelled task goes to the next": (
        "locks",
        (
            THINGS,
            [
                [("call", PERMITS, "acquire")],
                [("call", PERMITS, "acquire")],
                [("turns", 1), ("call", PERMITS, "release"), ("cancel", 0)],
            ],
        ),
    ),
    "whoever comes later waits behind those who were woken": (
        "locks",
        (
            THINGS,
            [
                [("call", PERMITS, "acquire"), ("hold", PERMITS, [("turns", 1)])],
                [("hold", PERMITS, [("turns", 1)])],
                [("turns", 1), *[("call", PERMITS, "release")] * 3],
            ],
        ),
    ),
    "a notification of a cancelled task goes to the next": (
        "conditions",
        (
            THINGS,
            [
                [("hold", CONDITION, [("call", CONDITION, "wait")])],
                [("hold", CONDITION, [("call", CONDITION, "wait")])],
                [("turns", 1), ("hold", CONDITION, [("call", CONDITION, "notify")]), ("cancel", 0)],
            ],
        ),
    ),
    "wait_for that is over does not swallow a cancellation": (
        "groups",
        (
            (),
            [
                [("wait_for", 5, [("gate", 0)]), ("sleep", 1)],
                [("turns", 1), ("open", 0), ("cancel", 0)],
            ],
        ),
    ),
    "a timeout within a cancellation takes back its own only": (
        "groups",
        (
            (),
            [
                [("last", [("gate", 0)], [("timeout", 1, [("gate", 0)])])],
                [("turns", 1), ("cancel", 0)],
            ],
        ),
    ),
    "a group that fails while its task is cancelled cancels it": (
        "groups",
        (
            (),
            [
                [("timeout", 3, [("group", [[("gate", 0), ("fail",)]], [("gate", 1)])])],
                [("turns", 1), ("open", 0), ("cancel", 0)],
            ],
        ),
    ),
    "the next of as_completed may be woken and cancelled": (
        "groups",
        (
            (),
            [
                [("timeout", 3, [("as_completed", None, [[("gate", 0)]])])],
                [("turns", 1), ("open", 0), ("turns", 1), ("cancel", 0)],
                [("turns", 1), ("turns", 1), ("turns", 1), ("cancel", 0)],
            ],
        ),
    ),
    "what is cancelled within as_completed is woken as well": (
        "groups",
        (
            (),
            [
                [("timeout", 1, [("as_completed", None, [[]])])],
                [("gate", 0)],
                [("turns", 1), ("open", 0), ("cancel", 0)],
            ],
        ),
    ),
    "a separator is found across chunks": (
        "streams",
        (
            (("reader", 4),),
            [
                [("readuntil", (b"a;b", b"ab")), ("readline",)],
                [("turns", 1), ("feed", b"ba;"), ("turns", 1), ("feed", b"b;;;\n;")],
            ],
        ),
    ),
}
"""Programs that showed a fault of some asyncio, or would show one; name -> kind, program."""
