"""Profiles: what the tools write is read rightly, and drawn."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from bench import callgrind, flame, perf, symbols

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        (
            "__pyx_f_7treadle_5_core_5wheel_5Wheel__run_ready",
            "treadle._core.wheel.Wheel._run_ready",
        ),
        (
            "__pyx_pw_7treadle_5_core_5wheel_5Wheel_7call_soon",
            "treadle._core.wheel.Wheel.call_soon",
        ),
        (
            "__pyx_pw_7treadle_5_core_5wheel_5Wheel_9call_soon_threadsafe",
            "treadle._core.wheel.Wheel.call_soon_threadsafe",
        ),
        ("__pyx_f_7treadle_5_core_6invoke_make_future", "treadle._core.invoke.make_future"),
        ("__pyx_pf_7treadle_4_net_3tcp_4join.constprop.0", "treadle._net.tcp.join"),
        ("PyObject_Vectorcall", "PyObject_Vectorcall"),
        ("tcp_poll.isra.0", "tcp_poll"),
    ],
)
def test_symbols_are_read_as_one_would_write_them(symbol, name):
    assert symbols.plain(symbol) == name


def test_a_brief_name_has_no_packages():
    assert symbols.brief("treadle._core.wheel.Wheel.turn") == "Wheel.turn"
    assert symbols.brief("PyObject_Call") == "PyObject_Call"


CALLGRIND = """\
events: Ir

fl=(1) src/treadle/_core/wheel.py
fn=(10) __pyx_f_7treadle_5_core_5wheel_5Wheel__poll
12 30
+2 5
fi=(2) /usr/include/python3.13/object.h
300 7
cfi=(3) epoll.c
cfn=(11) epoll_wait'__pyx_f_7treadle_5_core_5wheel_5Wheel__poll
calls=4 20
* 400
fn=(12) 0x0000000004857040'__pyx_f_7treadle_5_core_5wheel_5Wheel__poll
0 3
fn=(10)
fe=(1)
14 1

fl=(3)
fn=(11)
20 399
"""


def test_callgrinds_costs_are_own_costs_by_line(tmp_path):
    file = tmp_path / "out"
    file.write_text(CALLGRIND)
    poll = "treadle._core.wheel.Wheel._poll"
    assert callgrind.read(file) == {
        (poll, "wheel.py:12"): 30,
        (poll, "wheel.py:14"): 6,
        (poll,): 7 + 3,  # of an inlined function, and of a stub that has no name
        (poll, "epoll_wait"): 399,
    }


PERF = """
\t            b69a Py_DECREF
  object.h:944 (inlined)
\t            b69a __pyx_f_7treadle_5_core_5ready_10ReadyQueue_add (/x/ready.so)
  ready_native.py:90
\t            88a8 main (/usr/bin/python3)
  main.c:1

\tffffffff81000000 tcp_poll ([kernel.kallsyms])
\t            88a8 main (/usr/bin/python3)

\t            1234 [unknown] (/lib/libc.so.6)

"""


def test_perfs_samples_are_stacks_with_the_line_on_top():
    assert perf.read(PERF.splitlines()) == {
        ("main", "treadle._core.ready.ReadyQueue.add", "ready_native.py:90"): 1,
        ("main", "[kernel] tcp_poll"): 1,
        ("[libc.so.6]",): 1,
    }


STACKS = {("main", "run", "a"): 60.0, ("main", "run", "b", "c"): 30.0, ("main", "run"): 10.0}


def boxes(text):
    """Name -> width."""
    root = ElementTree.fromstring(text)
    found = {}
    for group in root.iter(f"{SVG}g"):
        rectangle = group.find(f"{SVG}rect")
        found[group.findtext(f"{SVG}title").partition(":")[0]] = float(rectangle.get("width"))
    return found


def test_the_width_of_a_box_is_its_share():
    found = boxes(flame.draw("t", "s", "ns", STACKS))
    assert found["a"] / found["run"] == pytest.approx(0.6, abs=0.01)
    assert found["b"] == found["c"]


def test_outer_frames_that_say_nothing_are_left_out():
    assert "main" not in boxes(flame.draw("t", "s", "ns", STACKS))


def test_a_name_with_markup_is_harmless():
    assert "<lambda>" in boxes(flame.draw("t", "s", "ns", {("<lambda>",): 1.0}))


def test_nothing_recorded_is_said():
    with pytest.raises(ValueError, match="nothing was recorded"):
        flame.draw("t", "s", "ns", {})
