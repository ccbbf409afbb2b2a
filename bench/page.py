"""The page of results: `python -m bench.page FILE... --out docs/benchmarks`.

It is made from JSON files alone and measures nothing, so that a change of its words needs no new
run. The files are kept beside the page; `--check FOLDER` says whether a page is what its files
give. Files from one machine and one interpreter go into one page: a run may be made in pieces.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import growth_page, prose
from bench.record import Record, RecordError, read

PAGE = "index.md"
DATA = "results"
MADE_BY = "<!-- Made by `python -m bench.page` from the results beside it. Do not edit. -->"


def main(arguments: list[str]) -> int:
    """The exit status: 0, 1 when --check finds a difference, 2 when a file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    add = parser.add_argument
    add("files", nargs="*", type=Path, metavar="FILE", help="what python -m bench --json wrote")
    add("--out", type=Path, metavar="FOLDER", help="write page, plots and copies of the files here")
    add("--check", type=Path, metavar="FOLDER", help="is the page here what its results give?")
    given = parser.parse_args(arguments)
    try:
        if given.check is not None:
            return _check(given.check)
        if not given.files or given.out is None:
            parser.error("name at least one FILE, and --out FOLDER")
        write(given.out, [file.read_text() for file in given.files])
    except (RecordError, OSError) as error:
        print(f"bench.page: {error}", file=sys.stderr)
        return 2
    print(given.out / PAGE)
    return 0


def _check(folder: Path) -> int:
    wrong = differences(folder)
    for line in wrong:
        print(f"bench.page: {line}", file=sys.stderr)
    return 1 if wrong else 0


def write(folder: Path, texts: Sequence[str]) -> None:
    """Put the JSONs into the folder, and what they give; what an older page left goes.

    Raises RecordError, and changes nothing but the JSONs, when no page can be made from them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in _data(folder):
        old.unlink()
    for i, text in enumerate(texts):
        number = f"-{i + 1}" if i else ""
        folder.joinpath(f"{DATA}{number}.json").write_text(text)
    made = make(read(_data(folder)))
    for old in _made(folder):
        old.unlink()
    for name, text in made.items():
        folder.joinpath(name).write_text(text)


def differences(folder: Path) -> list[str]:
    """How the page in a folder differs from what its results give: one line for each file."""
    files = _data(folder)
    made = make(read(files)) if files else {}
    there = {path.name: path.read_text() for path in _made(folder)}
    again = "python -m bench.page makes it anew" if files else f"there is no {DATA}.json"
    return [
        f"{folder / name} is not what the results give; {again}"
        for name in sorted(made.keys() | there.keys())
        if made.get(name) != there.get(name)
    ]


def _data(folder: Path) -> list[Path]:
    """Sorted as they were given: results.json, results-2.json, ..."""
    return sorted(folder.glob(f"{DATA}*.json"), key=lambda path: (len(path.name), path.name))


def _made(folder: Path) -> list[Path]:
    """What this program made; another's page may lie beside it."""
    return [path for path in folder.glob("*") if path.name == PAGE or path.suffix == ".svg"]


def make(records: Sequence[Record]) -> dict[str, str]:
    """File name -> content: the page and its plots."""
    files: dict[str, str] = {}
    parts = [MADE_BY, "", "# Measured side by side", "", *prose.opening(records)]
    for i, record in enumerate(records):
        prefix = f"{i + 1}-" if len(records) > 1 else ""
        plots = growth_page.plots(record, prefix)
        files.update((plot.file, plot.svg) for plot in plots)
        parts += prose.run(record)
        parts += prose.targets(record)
        parts += prose.ahead(record)
        parts += growth_page.section(record, plots)
        parts += prose.rows(record)
    files[PAGE] = "\n".join(parts).rstrip() + "\n"
    return files


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
