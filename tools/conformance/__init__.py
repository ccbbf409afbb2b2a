"""CPython's own tests of asyncio, run on another loop: `python -m tools.conformance`.

The tests are those that each Python is installed with. They run twice, on the loop that is asked
about and on stock asyncio, put in the same way; what fails only on the former is a difference that
a program could meet. `exclusions.toml` names the tests that cannot apply, `adaptations.py` the
lines that are changed when a test module is loaded.
"""
