"""What the host calls: `from shaddock.exports import *` in the module of a plugin."""

import json

from componentize_py_types import Err
from wit_world.exports import router
from wit_world.imports import types

from . import Failure, RouteKey, Session, _system, app, decode, encode, plugin

__all__ = ["Handler", "Lifecycle", "Remote", "Router", "Timer"]


#: The servers by type, as the host told them last.
_servers = {}


def _described(error):
    """What an error says, and where it was raised."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f" ({at.tb_frame.f_code.co_filename}:{at.tb_lineno})" if at is not None else ""
    return f"{type(error).__name__}: {error}{place}"


def _guard(what, function, *arguments, routing=False):
    """Runs a call; what it raises becomes its failure."""
    try:
        _system.begin(routing)
        return function(*arguments)
    except Failure as e:
        failure = types.Failure(e.code, _system.valid(f"{what}: {e.message}"), e.retryable)
    except BaseException as e:
        failure = types.Failure(500, _system.valid(f"{what}: {_described(e)}"), False)
    raise Err(failure)


def _message(body):
    try:
        return decode(body)
    except (ValueError, RecursionError) as e:
        raise Failure(400, str(e)) from None


def _moment(name, *arguments):
    """Nobody waits for the outcome, so that it goes to the log."""
    if name in plugin.moments:
        try:
            _guard(name, plugin.moments[name], *arguments)
        except Err as e:
            print(e.value.message)


def _begin(name, settings):
    app.settings = json.loads(settings)
    if name in plugin.moments:
        plugin.moments[name]()


class Handler:
    def routes(self):
        return list(plugin.routes)

    def handle(self, route, body, session):
        return _guard(route, self._handle, route, body, session)

    def _handle(self, route, body, session):
        answer = plugin.routes[route](_message(body), Session(session))
        return b"" if answer is None else encode(answer)


class Remote:
    def methods(self):
        return list(plugin.remotes)

    def call(self, method, args):
        return _guard(method, lambda: encode(plugin.remotes[method](_message(args))))


class Router:
    def server_types(self):
        return list(plugin.routers)

    def set_servers(self, server_type, servers):
        _servers[server_type] = servers

    def route(self, server_type, key, method):
        return _guard(server_type, self._route, server_type, key, method, routing=True)

    def _route(self, server_type, key, method):
        by_session = isinstance(key, router.RouteKey_Session)
        key = RouteKey(session=Session(key.value)) if by_session else RouteKey(value=key.value)
        server = plugin.routers[server_type](key, _servers.get(server_type, []), method)
        if server is None:
            raise Failure(503, "no server of the type is up", retryable=True)
        return router.Target_Id(server.id)


class Lifecycle:
    def init(self, settings):
        # A route function's instance is made in the same way, and has no import but the log.
        _guard("init", _begin, "init", settings, routing=True)

    def start(self, settings):
        _guard("start", _begin, "start", settings)

    def session_closed(self, session, reason):
        _moment("session_closed", Session(session), reason)

    def stop(self):
        _moment("stop")


class Timer:
    def fired(self, name, id, payload):
        _guard(f"timer {name}", lambda: plugin.timers[name](_message(payload)))
