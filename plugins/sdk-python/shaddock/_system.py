"""What the standard library expects of an operating system, made of what the host offers.

Without it a clock that is read ends the instance, and every instance draws the same random numbers. A route function has
no import but the log, so that its clock stands still and its random numbers are those of the build.
"""

import logging
import random
import sys
import time

from wit_world.imports import app
from wit_world.imports.app import Level


class _State:
    routing = False
    seeded = False


def valid(characters):
    """What the host takes for a text: half a character becomes a question mark."""
    return characters.encode("utf-8", "replace").decode()


class _Lines:
    """A text stream whose lines go to the server's log."""

    encoding = "utf-8"

    def __init__(self, level):
        self._level = level
        self._begun = ""

    def write(self, text):
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            app.log(self._level, valid(line))
        return len(text)

    def flush(self):
        """Nothing waits but lines that are not complete."""

    def isatty(self):
        return False


class _Log(logging.Handler):
    """Records of `logging` go to the server's log."""

    def emit(self, record):
        levels = [(logging.ERROR, Level.ERROR), (logging.WARNING, Level.WARN), (logging.INFO, Level.INFO)]
        level = next((level for least, level in levels if record.levelno >= least), Level.DEBUG)
        app.log(level, valid(record.getMessage()))


def _wall_ns():
    return 0 if _State.routing else app.now_ms() * 1_000_000


def _monotonic_ns():
    return 0 if _State.routing else app.monotonic_ns()


def install():
    """Puts these in place of the standard library's."""
    sys.stdout, sys.stderr = _Lines(Level.INFO), _Lines(Level.WARN)
    logging.basicConfig(handlers=[_Log()], level=logging.DEBUG)
    time.time_ns, time.monotonic_ns, time.perf_counter_ns = _wall_ns, _monotonic_ns, _monotonic_ns
    time.time = lambda: _wall_ns() / 1e9
    time.monotonic = time.perf_counter = lambda: _monotonic_ns() / 1e9


def begin(routing):
    """Before each call; tells whether it is that of a route function."""
    _State.routing = routing
    if not routing and not _State.seeded:
        _State.seeded = True
        random.seed(app.random_bytes(32))
