"""The house: imports point down, façades are complete, examples run, files stay small."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import treadle
from tests.kit import run_python
from treadle import hub

SOURCE = Path(__file__).parents[1] / "src" / "treadle"
FILES = sorted(SOURCE.rglob("*.py"))
DECLARATIONS = sorted(SOURCE.rglob("*.pxd"))
LONGEST_FILE = 600  # lines

# From the top of the house to the ground; what stands in one row may know each other.
FLOORS = [
    {"cli", "doctor", "__main__"},
    {"__init__"},  # the public face: what `import treadle` gives
    {"web"},
    {"hub"},
    {"observe"},
    {"sim"},
    {"files"},
    {"aio"},
    {"_net"},
    {"_core"},
    {"_drivers"},
    {"_sys"},
    {"_build"},
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
CLOCK_READERS = {"_core/clock.py", "_core/clock_native.py"}
CLOCKS_AND_DICE = {"time", "random", "secrets", "datetime"}


def name_of(path):
    return str(path.relative_to(SOURCE))


def part_of(path):
    """The part of the house that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py").removesuffix(".pxd")


def part_named(module):
    """The part that ``treadle.X.Y`` belongs to; None outside of treadle."""
    parts = module.removeprefix("cython.cimports.").split(".")
    if parts[0] != "treadle":
        return None
    return parts[1] if len(parts) > 1 else "__init__"


def imported_by_python(path):
    """The modules that a Python file imports, whether at once or late."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} imports relatively"
            if node.module == "treadle":  # a submodule, or a public name
                yield from (
                    f"treadle.{alias.name}" if alias.name in FLOOR else "treadle"
                    for alias in node.names
                )
            elif node.module is not None:
                yield node.module


def imported_by_declarations(path):
    """The modules that a Cython declaration file imports."""
    for line in path.read_text().splitlines():
        found = re.match(r"\s*(?:from\s+([\w.]+)\s+)?cimport\s+([\w.]+)", line)
        if found:
            yield found[1] or found[2]


def imports(path):
    if path.suffix == ".pxd":
        return set(imported_by_declarations(path))
    return set(imported_by_python(path))


# imports -------------------------------------------------------------------------------------


def test_every_part_of_the_house_has_its_floor():
    parts = {part_of(path) for path in FILES + DECLARATIONS}
    assert parts <= set(FLOOR)


@pytest.mark.parametrize("path", FILES + DECLARATIONS, ids=name_of)
def test_imports_point_down(path):
    floor = FLOOR[part_of(path)]
    parts = {part_named(module) for module in imports(path)} - {None}
    upwards = {part for part in parts if FLOOR[part] < floor}
    assert not upwards


def test_the_test_of_directions_sees_imports_of_every_kind(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import treadle\n"
        "import treadle._core.loop as loop\n"
        "from treadle import _build, run\n"
        "def late():\n"
        "    from treadle.aio.loop import Loop\n"
        "from cython.cimports.treadle._sys.time import clock_gettime\n"
    )
    assert {part_named(module) for module in imports(file)} == {
        "__init__",
        "_core",
        "_build",
        "aio",
        "_sys",
    }
    declarations = tmp_path / "module.pxd"
    declarations.write_text("cimport cython\nfrom treadle._net.tcp cimport StreamTransport\n")
    assert {part_named(module) for module in imports(declarations)} == {None, "_net"}


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if part_of(p) not in {"_drivers", "sim"} and name_of(p) not in CLOCK_READERS],
    ids=name_of,
)
def test_clocks_and_dice_come_through_the_seam(path):
    modules = imports(path)
    assert not {module.partition(".")[0] for module in modules} & CLOCKS_AND_DICE
    assert "cython.cimports.treadle._sys.time" not in modules


# façades -------------------------------------------------------------------------------------


def packages():
    """The packages, as imported modules."""
    for path in sorted(SOURCE.rglob("__init__.py")):
        parts = path.parent.relative_to(SOURCE).parts
        yield ".".join(("treadle", *parts))


def modules():
    """The modules that can be imported by the treadle under test."""
    for path in FILES:
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[-1] in {"__init__", "__main__"} or parts[-1].endswith("_native"):
            continue
        if parts[-1].startswith("epoll") and not (treadle.COMPILED and sys.platform == "linux"):
            continue
        yield ".".join(("treadle", *parts))


@pytest.mark.parametrize("name", [*packages(), *modules()])
def test_what_a_module_offers_exists(name):
    if name in {"treadle.cli"}:
        pytest.importorskip("click")
        pytest.importorskip("rich")
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", [])
    assert len(offered) == len(set(offered))
    for public in offered:
        assert hasattr(module, public)


def test_the_public_names_are_those_that_treadle_offers():
    for name in treadle.__all__:
        getattr(treadle, name)  # some are loaded with their first use
    public = {
        name
        for name, value in vars(treadle).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    public -= {"annotations", "Any", "TYPE_CHECKING"}  # what the module itself imports
    assert public == {name for name in treadle.__all__ if not name.startswith("_")}


def test_the_hubs_public_names_are_those_that_it_offers():
    assert set(hub.__all__) == set(hub.MODULES)
    for name in hub.__all__:
        getattr(hub, name)


@pytest.mark.parametrize("name", ["Loop"])
def test_a_public_class_calls_itself_by_its_public_name(name):
    cls = getattr(treadle, name)
    assert f"{cls.__module__}.{cls.__qualname__}" == f"treadle.{name}"


PUBLIC_NAMES = [(home, name) for home in (treadle, hub) for name in home.__all__]


@pytest.mark.parametrize(
    ("home", "name"), PUBLIC_NAMES, ids=lambda value: getattr(value, "__name__", value)
)
def test_every_public_name_is_documented_by_an_example_that_runs(home, name):
    value = getattr(home, name)
    if not inspect.isclass(value) and not callable(value):
        return
    if value.__module__.startswith(("asyncio", "typing")):  # asyncio's own, under our name as well
        return
    assert inspect.getdoc(value)
    globs = {"__name__": "__main__"}
    if home is hub:  # its examples take their names from it
        globs |= {public: getattr(hub, public) for public in hub.__all__}
    finder = doctest.DocTestFinder(recurse=False)
    examples = [
        test for test in finder.find(value, name, module=False, globs=globs) if test.examples
    ]
    assert examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    for test in examples:
        assert runner.run(test).failed == 0


def test_the_version_is_the_projects():
    project = (SOURCE.parents[1] / "pyproject.toml").read_text()
    assert f'\nversion = "{treadle.__version__}"\n' in project


# files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES + DECLARATIONS, ids=name_of)
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_open_with_what_they_are(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))


def compiled_modules():
    """The modules that have a compiled form: those with declarations beside them."""
    return [path for path in DECLARATIONS if path.stem != "__init__" and part_of(path) != "_sys"]


@pytest.mark.parametrize("path", compiled_modules(), ids=name_of)
def test_declarations_lie_beside_their_source(path):
    assert path.with_suffix(".py").exists()


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*_native.py")), ids=name_of)
def test_a_compiled_twin_has_the_names_of_the_plain_one(path):
    def names(file):
        tree = ast.parse(file.read_text())
        return {
            node.name
            for node in tree.body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        }

    plain = path.with_name(path.name.replace("_native", ""))
    assert names(plain) <= names(path)


# what an import costs ------------------------------------------------------------------------

LIST_MODULES = """
import sys
before = set(sys.modules)
import asyncio
import treadle
{more}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
print(*sorted(sys.modules))
"""


def imported(more=""):
    """Top-level packages that treadle brings in, and all modules in memory then."""
    done = run_python(LIST_MODULES.format(more=more))
    assert done.returncode == 0, done.stderr
    top, everything = done.stdout.splitlines()
    return set(top.split()), set(everything.split())


def is_cythons(name):
    return name.startswith(("_cython", "cython"))


def test_importing_treadle_needs_nothing_but_the_standard_library():
    top, _ = imported()
    foreign = {name for name in top - sys.stdlib_module_names if not is_cythons(name)}
    assert foreign == {"treadle"}


def test_importing_treadle_brings_in_no_command_line_and_no_threads():
    _, everything = imported()
    unwanted = {"click", "rich", "treadle.cli", "treadle.doctor", "concurrent.futures.thread"}
    assert not everything & unwanted


def test_a_program_without_threads_starts_none():
    _, everything = imported("treadle.run(asyncio.sleep(0))")
    assert "concurrent.futures.thread" not in everything


# which treadle -------------------------------------------------------------------------------


def test_the_environment_chooses_the_plain_treadle():
    done = run_python(
        "import treadle, treadle._core.wheel as wheel; print(treadle.COMPILED, wheel.__file__)",
        TREADLE_PURE="1",
    )
    compiled, file = done.stdout.split()
    assert compiled == "False"
    assert file.endswith("wheel.py")


@pytest.mark.skipif(not treadle.COMPILED, reason="needs the compiled treadle")
@pytest.mark.parametrize("value", ["", "0"])
def test_the_compiled_treadle_is_taken_where_it_is(value):
    done = run_python(
        "import treadle, treadle._core.wheel as wheel; print(treadle.COMPILED, wheel.__file__)",
        TREADLE_PURE=value,
    )
    compiled, file = done.stdout.split()
    assert compiled == "True"
    assert not file.endswith(".py")
