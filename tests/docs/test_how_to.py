"""The how-to pages: each program prints what its page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

from tests.kit import run_python

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "how-to").glob("*.md"))
LEXER = FencedCodeBlockLexer(r"\w+")
LINK = re.compile(r"\[[^]]*]\(([^)\s#]+)[^)]*\)")


def programs_of(document: Document) -> Iterator[Region]:
    """The blocks of Python that a block of text follows: the program, and what it prints."""
    for program, printed in pairwise(LEXER(document)):
        if program.lexemes["language"] == "python" and printed.lexemes["language"] == "text":
            parsed = program.lexemes["source"], printed.lexemes["source"]
            yield Region(program.start, program.end, parsed=parsed, evaluator=None)


EXAMPLES = [
    pytest.param(example, id=f"{page.stem}:{example.line}")
    for page in PAGES
    for example in Sybil([programs_of]).parse(page)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_program_prints_what_its_page_says(example: Example) -> None:
    program, printed = example.parsed
    done = run_python(program, PYTHONWARNINGS="error", NO_COLOR="1")
    assert done.stderr == ""
    assert done.stdout == printed
    assert done.returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_listed_and_its_links_lead_somewhere(page: Path) -> None:
    assert f"how-to/{page.name}" in (DOCS / "index.md").read_text()
    for target in LINK.findall(re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)):
        assert "://" in target or (page.parent / target).exists(), target
