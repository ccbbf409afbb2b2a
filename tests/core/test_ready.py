"""call_soon: first in, first out; what a callback queues runs in the next turn."""

from __future__ import annotations

import contextvars
import threading

import pytest

from tests.kit import FakeClock, JumpingDriver
from treadle._core.ready import Owner, ReadyQueue
from treadle._drivers.selector import SelectorDriver

word = contextvars.ContextVar("word", default="none")


def run_turn(loop):
    """Run one turn: what is ready now."""
    loop.stop()
    loop.run_forever()


# order ---------------------------------------------------------------------------------------


def test_callbacks_run_in_the_order_in_which_they_were_queued(loop):
    called = []
    for i in range(1000):
        loop.call_soon(called.append, i)
    run_turn(loop)
    assert called == list(range(1000))


def test_what_a_callback_queues_runs_in_the_next_turn(loop):
    called = []

    def first():
        called.append("first")
        loop.call_soon(called.append, "queued by first")

    loop.call_soon(first)
    loop.call_soon(called.append, "second")
    run_turn(loop)
    assert called == ["first", "second"]
    run_turn(loop)
    assert called == ["first", "second", "queued by first"]


def test_a_callback_that_queues_itself_does_not_lock_out_descriptors(loop, socket_pair):
    ours, theirs = socket_pair
    turns = []

    def spin():
        turns.append(1)
        loop.call_soon(spin)

    loop.add_reader(ours, loop.stop)
    theirs.send(b"x")
    loop.call_soon(spin)
    loop.run_forever()
    loop.remove_reader(ours)
    assert len(turns) < 100_000


def test_a_callback_that_queues_itself_does_not_lock_out_timers(loop):
    def spin():
        loop.call_soon(spin)

    loop.call_later(0.001, loop.stop)
    loop.call_soon(spin)
    loop.run_forever()


def test_a_callback_that_queues_itself_does_not_lock_out_descriptors_while_the_clock_stands_still(
    virtual, socket_pair
):
    loop, _ = virtual
    ours, theirs = socket_pair
    turns = []

    def spin():
        turns.append(1)
        loop.call_soon(spin)

    loop.add_reader(ours, loop.stop)
    theirs.send(b"x")
    loop.call_soon(spin)
    loop.run_forever()
    assert len(turns) < 1000


def test_arguments_are_passed_on(loop):
    seen = []
    loop.call_soon(lambda *args: seen.append(args))
    loop.call_soon(lambda *args: seen.append(args), 1)
    loop.call_soon(lambda *args: seen.append(args), 1, None, "x")
    loop.call_soon(lambda *args: seen.append(args), *range(30))
    run_turn(loop)
    assert seen == [(), (1,), (1, None, "x"), tuple(range(30))]


def test_callables_of_every_kind_are_called(loop):
    called = []

    class Callable:
        def __call__(self, what):
            called.append(what)

        def method(self, what):
            called.append(what)

        @classmethod
        def of_class(cls, what):
            called.append(what)

        @staticmethod
        def static(what):
            called.append(what)

    owner = Callable()
    kinds = [owner, owner.method, owner.of_class, owner.static, called.append, Callable.static]
    for i, callback in enumerate(kinds):
        loop.call_soon(callback, i)
    loop.call_soon(dict, [])
    run_turn(loop)
    assert called == list(range(len(kinds)))


def test_call_soon_and_call_soon_threadsafe_share_one_queue(loop):
    called = []
    for i in range(0, 20, 2):
        loop.call_soon(called.append, i)
        loop.call_soon_threadsafe(called.append, i + 1)
    run_turn(loop)
    assert called == list(range(20))


def test_an_exception_in_a_callback_does_not_stop_the_others(loop):
    reports, called = [], []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))
    loop.call_soon(called.append, 1)
    loop.call_soon(int, "no number")
    loop.call_soon(called.append, 2)
    run_turn(loop)
    assert called == [1, 2]
    assert isinstance(reports[0], ValueError)


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_what_was_not_run_when_the_program_was_interrupted_runs_next_time(loop, exception):
    called = []

    def interrupt():
        raise exception

    loop.call_soon(called.append, 1)
    loop.call_soon(interrupt)
    loop.call_soon(called.append, 2)
    with pytest.raises(exception):
        loop.run_forever()
    assert called == [1]
    run_turn(loop)
    assert called == [1, 2]


def test_a_generator_exit_from_a_callback_is_reported(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))

    def leave():
        raise GeneratorExit

    loop.call_soon(leave)
    run_turn(loop)
    assert isinstance(reports[0], GeneratorExit)


def test_call_soon_on_a_closed_loop_raises(loop):
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_soon(print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_soon_threadsafe(print)


def test_a_callback_that_is_not_callable_is_reported(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))
    loop.call_soon(None)
    loop.call_soon(42)
    run_turn(loop)
    assert [type(exc) for exc in reports] == [TypeError, TypeError]


# contexts ------------------------------------------------------------------------------------


def test_a_callback_runs_in_a_copy_of_the_context_in_which_it_was_queued(loop):
    seen = []
    token = word.set("at call_soon")
    loop.call_soon(lambda: seen.append(word.get()))
    word.reset(token)
    run_turn(loop)
    assert seen == ["at call_soon"]


def test_a_callback_changes_only_its_own_context(loop):
    seen = []
    loop.call_soon(word.set, "changed")
    loop.call_soon(lambda: seen.append(word.get()))
    run_turn(loop)
    assert seen == ["none"]
    assert word.get() == "none"


def test_a_callback_runs_in_the_context_that_was_given(loop):
    context = contextvars.Context()
    loop.call_soon(word.set, "inside", context=context)
    run_turn(loop)
    assert context[word] == "inside"


def test_callbacks_with_one_context_see_each_others_changes(loop):
    seen = []
    context = contextvars.Context()
    loop.call_soon(word.set, "inside", context=context)
    loop.call_soon(lambda: seen.append(word.get()), context=context)
    run_turn(loop)
    assert seen == ["inside"]


def test_what_a_callback_queues_inherits_its_context(loop):
    seen = []

    def outer():
        word.set("outer")
        loop.call_soon(lambda: seen.append(word.get()))

    loop.call_soon(outer)
    run_turn(loop)
    run_turn(loop)
    assert seen == ["outer"]


def test_a_timer_runs_in_the_context_in_which_it_was_set(loop):
    seen = []
    token = word.set("at call_later")
    loop.call_later(0, lambda: seen.append(word.get()))
    loop.call_later(0, loop.stop)
    word.reset(token)
    loop.run_forever()
    assert seen == ["at call_later"]


def test_a_callback_whose_context_is_in_use_is_not_called_and_the_rest_runs(loop):
    called = []
    loop.set_exception_handler(lambda loop, context: None)
    context = contextvars.Context()

    def run_inside():
        loop.call_soon(called.append, "in use", context=context)
        loop.call_soon(called.append, "rest")
        run_turn(loop)

    context.run(run_inside)
    assert called == ["rest"]
    loop.call_soon(called.append, "free again", context=context)
    run_turn(loop)
    assert called == ["rest", "free again"]


def test_the_context_is_left_when_the_callback_raises(loop):
    loop.set_exception_handler(lambda loop, context: None)

    def fail():
        word.set("inside")
        raise ValueError

    loop.call_soon(fail)
    run_turn(loop)
    assert word.get() == "none"


# threads -------------------------------------------------------------------------------------


def test_calls_from_many_threads_all_arrive_and_in_each_threads_order(loop):
    threads, calls = 8, 500
    arrived = [[] for _ in range(threads)]
    left = [threads]

    def done():
        left[0] -= 1
        if not left[0]:
            loop.stop()

    def work(number):
        for i in range(calls):
            loop.call_soon_threadsafe(arrived[number].append, i)
        loop.call_soon_threadsafe(done)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    loop.run_forever()
    for worker in workers:
        worker.join()
    assert arrived == [list(range(calls))] * threads


@pytest.mark.every_driver
def test_a_call_from_a_thread_wakes_a_waiting_loop(loop):
    rounds = 200
    answers = []
    turn = threading.Semaphore(0)

    def answer(i):
        answers.append(i)
        if i == rounds - 1:
            loop.stop()
        turn.release()

    def work():
        for i in range(rounds):
            loop.call_soon_threadsafe(answer, i)
            turn.acquire()

    worker = threading.Thread(target=work)
    worker.start()
    loop.run_forever()
    worker.join()
    assert answers == list(range(rounds))


@pytest.mark.every_driver
def test_a_call_before_the_run_needs_no_wake_up(loop):
    worker = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
    worker.start()
    worker.join()
    loop.run_forever()


def test_a_burst_of_calls_to_a_busy_loop_sends_no_wake_up(make_loop):
    class Counting(JumpingDriver):
        wakes = 0

        def wake(self):
            self.wakes += 1
            super().wake()

    clock = FakeClock()
    driver = Counting(clock)
    loop = make_loop(driver=driver, clock=clock)

    def burst():
        for _ in range(100):
            loop.call_soon_threadsafe(str)

    loop.call_soon(burst)
    run_turn(loop)
    assert driver.wakes == 0


def test_a_burst_of_calls_to_a_waiting_loop_sends_one_wake_up(make_loop):
    class Bursting(JumpingDriver):
        wakes = 0

        def wait(self, timeout_ns):
            if timeout_ns > 0:
                for _ in range(100):
                    loop.call_soon_threadsafe(str)
                loop.call_soon_threadsafe(loop.stop)
            super().wait(timeout_ns)

        def wake(self):
            self.wakes += 1
            super().wake()

    clock = FakeClock()
    driver = Bursting(clock)
    loop = make_loop(driver=driver, clock=clock)
    loop.call_later(1, str)
    loop.run_forever()
    assert driver.wakes == 1


def test_an_interrupted_wait_does_not_cost_the_next_run_its_wake_up(make_loop):
    class Interrupted(SelectorDriver):
        waits = 0
        wakes = 0

        def wait(self, timeout_ns):
            self.waits += 1
            if self.waits == 1:
                loop.call_soon_threadsafe(str)
                super().wait(0)  # takes the wake-up
                raise KeyboardInterrupt
            if timeout_ns != 0:
                before = self.wakes
                loop.call_soon_threadsafe(loop.stop)
                assert self.wakes == before + 1, "the loop was not woken"
                timeout_ns = 0
            super().wait(timeout_ns)

        def wake(self):
            self.wakes += 1
            super().wake()

    driver = Interrupted()
    loop = make_loop(driver=driver, clock=FakeClock())
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.run_forever()


# the queue itself ----------------------------------------------------------------------------


def test_an_empty_queue_gives_nothing():
    queue = ReadyQueue(Owner())
    assert queue.count == 0
    with pytest.raises(IndexError):
        queue.pop()


def test_the_queue_can_be_cleared_by_what_it_runs():
    queue = ReadyQueue(Owner())
    called = []
    queue.add(called.append, (1,), None)
    queue.add(queue.clear, (), None)
    queue.add(called.append, (2,), None)
    queue.run(3)
    assert called == [1]
    assert queue.count == 0


def test_the_queue_runs_no_more_than_it_was_told():
    queue = ReadyQueue(Owner())
    called = []
    for i in range(5):
        queue.add(called.append, (i,), None)
    queue.run(3)
    assert called == [0, 1, 2]
    assert queue.count == 2
