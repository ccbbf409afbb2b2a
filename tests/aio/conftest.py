"""What tests of coroutines share; a test may name another `run`."""

from __future__ import annotations

import pytest


@pytest.fixture
def run(loop):
    return lambda main: loop.run_until_complete(main())


@pytest.fixture
def reports(loop):
    """What is reported to the loop's exception handler."""
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    return reports
