"""What calls of both kinds have in common."""

import json

from componentize_py_types import Err
from wit_world.imports import types

from . import Failure, Session, _system, app, decode, plugin


def _described(error):
    """What an error says, and where it was raised."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f" ({at.tb_frame.f_code.co_filename}:{at.tb_lineno})" if at is not None else ""
    return f"{type(error).__name__}: {error}{place}"


def failure_of(what, error):
    """The failure of a call that raised an error."""
    if isinstance(error, Failure):
        return types.Failure(error.code, _system.valid(f"{what}: {error.message}"), error.retryable)
    return types.Failure(500, _system.valid(f"{what}: {_described(error)}"), False)


def guard(what, function, *arguments, routing=False):
    """Runs a call; what it raises becomes its failure."""
    try:
        _system.begin(routing)
        return function(*arguments)
    except BaseException as e:
        failure = failure_of(what, e)
    raise Err(failure)


def message_of(body):
    """The message of a body."""
    try:
        return decode(body)
    except (ValueError, RecursionError) as e:
        raise Failure(400, str(e)) from None


def _moment(name, *arguments):
    """Nobody waits for the outcome, so that it goes to the log."""
    if name in plugin.moments:
        try:
            guard(name, plugin.moments[name], *arguments)
        except Err as e:
            print(e.value.message)


def _begin(name, settings):
    app.settings = json.loads(settings)
    if name in plugin.moments:
        plugin.moments[name]()


class Lifecycle:
    session = Session

    def init(self, settings):
        # A route function's instance is made in the same way, and has no import but the log.
        guard("init", _begin, "init", settings, routing=True)

    def start(self, settings):
        guard("start", _begin, "start", settings)

    def session_closed(self, session, reason):
        _moment("session_closed", self.session(session), reason)

    def stop(self):
        _moment("stop")
