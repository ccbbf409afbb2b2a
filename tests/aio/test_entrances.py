"""`__aenter__` and `__aexit__` as methods that one looks at, keeps, overrides and binds by hand."""

import asyncio
import contextlib
import gc
import inspect
import pickle
import types
import weakref

import pytest

import treadle

KINDS = [treadle.Lock, treadle.Semaphore, treadle.BoundedSemaphore, treadle.Condition,
         treadle.Timeout, treadle.TaskGroup]  # fmt: skip
NAMES = ["__aenter__", "__aexit__"]


def make(kind):
    return kind(None) if issubclass(kind, treadle.Timeout) else kind()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


@pytest.mark.parametrize("name", NAMES)
def test_the_method_of_an_object_passes_for_an_ordinary_one(kind, name):
    made = make(kind)
    method = getattr(made, name)
    assert method.__self__ is made
    assert method.__name__ == name
    assert isinstance(method, types.BuiltinMethodType | types.MethodType)
    assert name in repr(method)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_its_parameters_can_be_asked_for(kind):
    assert list(inspect.signature(make(kind).__aexit__).parameters) == [
        "kind",
        "error",
        "traceback",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_methods_of_one_object_are_equal_and_of_two_are_not(kind, name):
    made = make(kind)
    method = getattr(made, name)
    assert method == getattr(made, name)
    assert hash(method) == hash(getattr(made, name))
    assert method == getattr(kind, name).__get__(made)
    assert getattr(kind, name).__get__(made) == method
    assert method != getattr(make(kind), name)
    assert method != 1


@pytest.mark.parametrize("name", NAMES)
def test_the_method_of_a_class_is_a_routine_that_can_be_pickled(kind, name):
    method = getattr(kind, name)
    assert inspect.isroutine(method)
    assert pickle.loads(pickle.dumps(method)) is method
    assert name in repr(vars(kind).get(name, method))


def test_it_cannot_be_bound_to_an_object_of_another_kind(kind):
    entrance = vars(kind).get("__aenter__")
    if isinstance(entrance, types.FunctionType | None):
        pytest.skip("a plain function can be bound to all")
    with pytest.raises(TypeError, match="__aenter__"):
        entrance.__get__(object())
    with pytest.raises(TypeError, match="__aenter__"):
        entrance(object())


def test_wrong_arguments_are_refused(kind):
    made = make(kind)
    with pytest.raises(TypeError, match="__aenter__"):
        made.__aenter__(1)
    with pytest.raises(TypeError, match="__aexit__"):
        made.__aexit__()
    with pytest.raises(TypeError, match="__aexit__"):
        made.__aexit__(None, None, None, other=1)


def test_a_class_may_have_methods_of_its_own_and_call_ours(kind):
    seen = []

    class Mine(kind):
        async def __aenter__(self):
            seen.append("in")
            return await super().__aenter__()

        async def __aexit__(self, *error):
            seen.append("out")
            return await super().__aexit__(*error)

    async def main():
        async with make(Mine):
            seen.append("body")

    treadle.run(main())
    assert seen == ["in", "body", "out"]


def test_a_method_put_on_an_object_is_found_by_name_and_not_by_async_with():
    async def main():
        lock = treadle.Lock()
        lock.__aenter__ = lambda: "mine"
        async with lock:
            return lock.__aenter__(), lock.locked()

    assert treadle.run(main()) == ("mine", True)


def test_an_exit_stack_enters_them(kind):
    async def main():
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(make(kind))

    treadle.run(main())


def test_a_method_that_is_kept_is_bound_to_its_object_while_others_are_used():
    async def main():
        kept = [treadle.Lock() for _ in range(100)]  # more than are kept for the next time
        entrances = [lock.__aenter__ for lock in kept]
        other = treadle.Lock()
        async with other:
            await entrances[70]()
        assert [lock.locked() for lock in kept] == [number == 70 for number in range(100)]
        assert [entrance.__self__ for entrance in entrances] == kept
        del entrances
        async with other:
            return other.locked()

    assert treadle.run(main()) is True


def test_a_method_keeps_its_object_alive_and_no_longer():
    lock = treadle.Lock()
    gone = weakref.ref(lock)
    entrance = lock.__aenter__
    del lock
    gc.collect()
    assert gone() is entrance.__self__
    del entrance
    assert gone() is None


def test_an_object_that_holds_its_own_methods_is_collected():
    lock = treadle.Lock()
    gone = weakref.ref(lock)
    lock.methods = [lock.__aenter__, lock.__aexit__]
    del lock
    gc.collect()
    assert gone() is None


def test_a_destructor_may_use_another_lock_while_a_method_is_let_go():
    used = []

    class Mine(treadle.Lock):
        def __del__(self):
            other = treadle.Lock()
            other.__aenter__().close()
            used.append(other.locked())

    entrance = Mine().__aenter__
    del entrance
    assert used == [True]


def test_what_the_collector_knows_can_be_looked_at_and_kept():
    async def main():
        lock = treadle.Lock()
        async with lock:
            pass
        found = [one for one in gc.get_objects() if "bound" in type(one).__name__]
        for one in found:
            assert repr(one)
            assert hash(one) == hash(one)
            assert one == one
            assert not isinstance(one, asyncio.Lock)
        async with lock:
            assert lock.locked()
        assert all(repr(one) for one in found)
        assert not lock.locked()

    treadle.run(main())
