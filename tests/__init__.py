"""treadle's tests; see conftest.py for the fixtures that they share."""
