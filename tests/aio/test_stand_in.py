"""asyncio's classes and ours: each passes for the other."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from asyncio import Queue as StockQueue
from typing import Generic, Protocol, TypeVar

import pytest

import treadle
from treadle.aio import acceleration

CLASSES = sorted(
    name
    for names in acceleration.HOMES.values()
    for name in names.split()
    if isinstance(getattr(asyncio, name), type)
)


@pytest.mark.parametrize("name", CLASSES)
def test_an_object_of_the_stock_class_is_an_instance_of_ours(name):
    stock = getattr(asyncio, name)
    thing = stock.__new__(stock)
    thing.__class__ = type("Unfinished", (stock,), {"__del__": lambda self: None})
    assert isinstance(thing, getattr(treadle, name))


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_is_the_other_s(name):
    stock, ours = getattr(asyncio, name), getattr(treadle, name)
    assert issubclass(ours, stock)
    assert issubclass(stock, ours)
    assert not issubclass(int, ours)


def test_a_class_of_queues_is_not_each_queue():
    assert not issubclass(asyncio.Queue, treadle.PriorityQueue)
    assert issubclass(asyncio.PriorityQueue, treadle.Queue)
    assert not isinstance(asyncio.Queue(), treadle.LifoQueue)


def test_a_class_derived_from_ours_answers_for_itself():
    class Mine(treadle.Queue):
        pass

    assert isinstance(Mine(), treadle.Queue)
    assert isinstance(Mine(), StockQueue)
    assert not isinstance(StockQueue(), Mine)
    assert not isinstance(treadle.Queue(), Mine)


def test_classes_derived_from_ours_may_be_generic_abstract_or_follow_a_protocol():
    T = TypeVar("T")

    class Sized(Protocol):
        def qsize(self) -> int: ...

    class Mine(treadle.Queue, Generic[T]):
        pass

    class Follows(treadle.Queue, Sized):
        pass

    class Abstract(treadle.Queue, ABC):
        @abstractmethod
        def size(self): ...

    assert Mine[int]().qsize() == Follows().qsize() == 0
    assert treadle.Queue[int]().qsize() == 0
    with pytest.raises(TypeError, match="abstract"):
        Abstract()
