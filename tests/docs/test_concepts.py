"""The concepts: each program prints what its page says, and nothing on the pages is missing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

import treadle
from tests.kit import run_python

CONCEPTS = Path(__file__).parents[2] / "docs" / "concepts"
PAGES = sorted(CONCEPTS.glob("*.md"))
DRAWINGS = sorted((CONCEPTS / "drawings").iterdir())
LEXER = FencedCodeBlockLexer(r"\w+")
LINK = re.compile(r"\[[^]]*]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[([^]]+)]\(([^)\s]+)\)")
SVG = "{http://www.w3.org/2000/svg}"
PLAIN = ["0", "1"] if treadle.COMPILED else ["1"]  # values of TREADLE_PURE


def programs_of(document: Document) -> Iterator[Region]:
    """The blocks of Python that a block of text follows: the program, and what it prints."""
    for program, printed in pairwise(LEXER(document)):
        if program.lexemes["language"] == "python" and printed.lexemes["language"] == "text":
            parsed = program.lexemes["source"], printed.lexemes["source"]
            yield Region(program.start, program.end, parsed=parsed, evaluator=None)


SYBIL = Sybil([programs_of])
EXAMPLES = {page: list(SYBIL.parse(page)) for page in PAGES}


def name_of(path: Path) -> str:
    return path.name


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors_of(page: Path) -> set[str]:
    """What can be linked to within a page, as GitHub and MyST name it."""
    headings = re.findall(r"^#+ (.+)$", without_code(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# programs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", PLAIN, ids=lambda plain: f"plain={plain}")
@pytest.mark.parametrize(
    "example",
    [
        pytest.param(example, id=f"{page.stem}:{example.line}")
        for page, examples in EXAMPLES.items()
        for example in examples
    ],
)
def test_a_program_prints_what_its_page_says(example: Example, plain: str) -> None:
    program, printed = example.parsed
    done = run_python(program, TREADLE_PURE=plain, PYTHONWARNINGS="error", NO_COLOR="1")
    assert done.stderr == ""
    assert done.stdout == printed
    assert done.returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_shown_as_python_is_python(page: Path) -> None:
    for block in LEXER(Document(page.read_text(), str(page))):
        if block.lexemes["language"] == "python":
            compile(block.lexemes["source"], f"{page.name}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_concept_has_a_program_and_a_drawing(page: Path) -> None:
    if page.stem != "index":
        assert EXAMPLES[page]
    assert PICTURE.search(page.read_text())


# pages and drawings --------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(without_code(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors_of(found), target


def test_the_index_leads_to_every_page() -> None:
    links = LINK.findall((CONCEPTS / "index.md").read_text())
    assert {page.name for page in PAGES} - {"index.md"} <= set(links)


@pytest.mark.parametrize("drawing", DRAWINGS, ids=name_of)
def test_a_drawing_can_be_read_and_heard(drawing: Path) -> None:
    root = ElementTree.parse(drawing).getroot()
    assert root.tag == f"{SVG}svg"
    for part in ("title", "desc"):
        assert root.findtext(f"{SVG}{part}", "").strip()
    assert "prefers-color-scheme: dark" in root.findtext(f"{SVG}style", "")


def test_every_drawing_is_shown() -> None:
    shown = {target for page in PAGES for _, target in PICTURE.findall(page.read_text())}
    assert shown == {f"drawings/{drawing.name}" for drawing in DRAWINGS}
