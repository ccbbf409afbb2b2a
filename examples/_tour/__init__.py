"""The chapters of the tour (`examples/tour.py`), one idea to a file.

Read them in the order of the tour: `concurrency`, `nonblocking`, `eventloop`, `callbacks`,
`futures`, `coroutines`; then `crowd` (thousands of clients) and `compare` (the table at the end).
Each chapter is a program of its own that could be copied out; `stage` is all they share for
output, `scale` all they share for sizes.
"""
