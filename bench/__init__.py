"""What treadle measures, how, and against whom: `python -m bench --help`, or bench/README.md."""
