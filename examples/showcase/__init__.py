"""Rooms in a browser: a chat, a game, an editor and the server's own figures, in one application.

    make showcase            one process
    make showcase-redis      two processes over a Redis; a room spans both

`app.py` puts it together, and is the file to read first. Each of the four has a file of its own
here, and one of its page in `web/src`.
"""
