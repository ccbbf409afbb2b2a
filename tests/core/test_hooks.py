"""Hooks: each point is told at its moment; a hook that fails is reported and taken off."""

from __future__ import annotations

import asyncio

import pytest

from treadle import Hooks

pytestmark = pytest.mark.treadle_only


class Recorder(Hooks):
    """Notes what it is told."""

    def __init__(self):
        self.events = []

    def task_created(self, task):
        self.events.append(("task_created", task.get_name()))

    def step_begins(self, task):
        self.events.append(("step_begins", task.get_name()))

    def step_ends(self, task):
        self.events.append(("step_ends", task.get_name()))

    def handle_queued(self, handle):
        self.events.append(("handle_queued", handle._callback))

    def poll_begins(self, timeout_ns):
        self.events.append(("poll_begins", timeout_ns))

    def poll_ends(self):
        self.events.append(("poll_ends",))

    def resource_waits(self, resource, waiting):
        self.events.append(("resource_waits", waiting))

    def of(self, *kinds):
        return [event for event in self.events if event[0] in kinds]


class Failing(Hooks):
    """Fails at one point."""

    def __init__(self, point):
        self.calls = 0

        def fail(*args):
            self.calls += 1
            raise ZeroDivisionError(point)

        setattr(self, point, fail)


def turn(loop):
    loop.stop()
    loop.run_forever()


async def two_steps():
    await asyncio.sleep(0)


def test_a_task_is_told_when_it_is_made_and_at_each_step(loop):
    recorder = Recorder()
    loop.add_hooks(recorder)
    task = loop.create_task(two_steps(), name="two")
    loop.run_until_complete(task)
    assert recorder.of("task_created", "step_begins", "step_ends") == [
        ("task_created", "two"),
        ("step_begins", "two"),
        ("step_ends", "two"),
        ("step_begins", "two"),
        ("step_ends", "two"),
    ]


def test_a_step_that_a_future_wakes_is_told(loop):
    recorder = Recorder()

    async def wait():
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future

    task = loop.create_task(wait(), name="waiter")
    loop.add_hooks(recorder)
    loop.run_until_complete(task)
    assert len(recorder.of("step_begins")) == 2
    assert len(recorder.of("step_ends")) == 2


def test_a_step_that_raises_ends_as_well(loop):
    recorder = Recorder()

    async def leave():
        raise KeyboardInterrupt

    loop.add_hooks(recorder)
    task = loop.create_task(leave(), name="leaving")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert recorder.of("step_begins", "step_ends") == [
        ("step_begins", "leaving"),
        ("step_ends", "leaving"),
    ]
    task.exception()


def test_step_ends_finds_a_finished_task_done(loop):
    seen = []

    class Look(Hooks):
        def step_ends(self, task):
            seen.append(task.done())

    loop.add_hooks(Look())
    loop.run_until_complete(loop.create_task(two_steps()))
    assert seen == [False, True]


def test_every_queued_handle_is_told(loop):
    recorder = Recorder()
    loop.add_hooks(recorder)
    loop.call_soon(print, "")
    loop.call_soon_threadsafe(repr, "")
    assert recorder.of("handle_queued") == [("handle_queued", print), ("handle_queued", repr)]


def test_asking_the_driver_is_told_with_its_timeout(virtual):
    loop, _ = virtual
    recorder = Recorder()
    loop.add_hooks(recorder)
    loop.call_later(2, loop.stop)
    loop.run_forever()
    polls = recorder.of("poll_begins", "poll_ends")
    assert ("poll_begins", 2_000_000_000) in polls
    assert polls[0::2] == recorder.of("poll_begins")
    assert polls[1::2] == recorder.of("poll_ends")


def test_a_callback_is_no_step(loop):
    recorder = Recorder()
    loop.add_hooks(recorder)
    loop.call_soon(str)
    turn(loop)
    assert recorder.of("step_begins", "step_ends") == []


def test_several_hooks_are_told_in_the_order_in_which_they_were_added(loop):
    order = []

    class Named(Hooks):
        def __init__(self, name):
            self.name = name

        def task_created(self, task):
            order.append(self.name)

    for name in "abc":
        loop.add_hooks(Named(name))
    loop.run_until_complete(loop.create_task(two_steps()))
    assert order == ["a", "b", "c"]


def test_removed_hooks_hear_nothing_more(loop):
    one, other = Recorder(), Recorder()
    loop.add_hooks(one)
    loop.add_hooks(other)
    loop.remove_hooks(one)
    loop.run_until_complete(loop.create_task(two_steps()))
    assert one.events == []
    assert other.events != []


def test_hooks_that_were_not_added_cannot_be_removed(loop):
    with pytest.raises(ValueError, match="has not been added to this loop"):
        loop.remove_hooks(Recorder())
    hooks = Recorder()
    loop.add_hooks(hooks)
    loop.remove_hooks(hooks)
    with pytest.raises(ValueError, match="has not been added to this loop"):
        loop.remove_hooks(hooks)


def test_without_hooks_the_loop_has_nothing_to_tell(loop):
    hooks = Recorder()
    assert loop._hooks is None
    loop.add_hooks(hooks)
    assert loop._hooks is not None
    loop.remove_hooks(hooks)
    assert loop._hooks is None


def test_hooks_can_be_added_again(loop):
    hooks = Recorder()
    loop.add_hooks(hooks)
    loop.remove_hooks(hooks)
    loop.add_hooks(hooks)
    loop.run_until_complete(loop.create_task(two_steps()))
    assert len(hooks.of("step_begins")) == 2


@pytest.mark.parametrize(
    "point",
    ["task_created", "step_begins", "step_ends", "handle_queued", "poll_begins", "poll_ends"],
)
def test_a_failing_hook_is_reported_once_and_taken_off(loop, point):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    failing, recorder = Failing(point), Recorder()
    loop.add_hooks(failing)
    loop.add_hooks(recorder)
    for _ in range(3):
        loop.run_until_complete(loop.create_task(two_steps()))
    assert failing.calls == 1
    assert [str(report["exception"]) for report in reports] == [point]
    assert point in reports[0]["message"]
    assert recorder.of(point)
    with pytest.raises(ValueError, match="has not been added"):
        loop.remove_hooks(failing)


def test_a_hook_that_removes_itself_and_fails_is_reported(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))

    class Leaving(Hooks):
        def handle_queued(self, handle):
            loop.remove_hooks(self)
            raise ZeroDivisionError

    loop.add_hooks(Leaving())
    loop.call_soon(str)
    turn(loop)
    assert [type(exc) for exc in reports] == [ZeroDivisionError]


def test_a_hook_may_remove_itself_between_begin_and_end(loop):
    class Once(Hooks):
        calls = 0

        def step_begins(self, task):
            self.calls += 1
            loop.remove_hooks(self)

    once = Once()
    loop.add_hooks(once)
    loop.run_until_complete(loop.create_task(two_steps()))
    assert once.calls == 1


def test_a_hook_may_be_removed_by_the_step_that_it_watches(loop):
    recorder = Recorder()

    async def work():
        loop.remove_hooks(recorder)
        await asyncio.sleep(0)

    loop.add_hooks(recorder)
    loop.run_until_complete(loop.create_task(work(), name="work"))
    assert recorder.of("step_begins", "step_ends") == [("step_begins", "work")]


def test_an_interruption_in_a_hook_leaves_the_loop_and_loses_no_step(loop):
    class Interrupting(Hooks):
        def step_begins(self, task):
            raise KeyboardInterrupt

    hooks = Interrupting()
    loop.add_hooks(hooks)
    task = loop.create_task(two_steps())
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.remove_hooks(hooks)
    for _ in range(3):
        turn(loop)
    done = task.done()
    if not done:  # its step is lost: it would wait for ever
        asyncio.tasks._unregister_task(task)
        task.get_coro().close()
        task._log_destroy_pending = False
    assert done


def test_a_hook_may_schedule(loop):
    called = []

    class Scheduling(Hooks):
        def task_created(self, task):
            loop.call_soon(called.append, task.get_name())

    loop.add_hooks(Scheduling())
    loop.run_until_complete(loop.create_task(two_steps(), name="watched"))
    assert called == ["watched"]


@pytest.mark.every_driver
def test_a_transport_that_crosses_its_marks_is_told(loop, socket_pair):
    ours, theirs = socket_pair
    recorder = Recorder()

    async def main():
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        loop.add_hooks(recorder)
        transport.write(b"x" * 10_000_000)
        assert recorder.of("resource_waits") == [("resource_waits", True)]
        received = 0
        while received < 10_000_000:
            received += len(await loop.sock_recv(theirs, 1_000_000))
        await asyncio.sleep(0)
        assert recorder.of("resource_waits") == [
            ("resource_waits", True),
            ("resource_waits", False),
        ]
        transport.close()
        await asyncio.sleep(0)

    loop.run_until_complete(main())
