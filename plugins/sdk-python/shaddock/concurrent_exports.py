"""What the host calls: `from shaddock.concurrent_exports import *` in a module with `async def` handlers."""

from inspect import isawaitable

from componentize_py_types import Err
from wit_world import exports

from . import _system, encode, plugin
from ._calls import Lifecycle as _Lifecycle
from ._calls import failure_of, message_of
from .concurrent import Session

__all__ = ["AsyncHandler", "AsyncRemote", "AsyncTimer", "Lifecycle"]


async def _guard(what, function, *arguments):
    """Runs a call; what it raises becomes its failure."""
    try:
        _system.begin(False)
        outcome = function(*arguments)
        return await outcome if isawaitable(outcome) else outcome
    except BaseException as e:
        failure = failure_of(what, e)
    raise Err(failure)


class AsyncHandler(exports.AsyncHandler):
    def routes(self):
        return list(plugin.routes)

    async def handle(self, route, body, session):
        async def run():
            answer = plugin.routes[route](message_of(body), Session(session))
            answer = await answer if isawaitable(answer) else answer
            return b"" if answer is None else encode(answer)
        return await _guard(route, run)


class AsyncRemote(exports.AsyncRemote):
    def methods(self):
        return list(plugin.remotes)

    async def call(self, method, args):
        async def run():
            answer = plugin.remotes[method](message_of(args))
            return encode(await answer if isawaitable(answer) else answer)
        return await _guard(method, run)


class AsyncTimer(exports.AsyncTimer):
    async def fired(self, name, id, payload):
        await _guard(f"timer {name}", lambda: plugin.timers[name](message_of(payload)))


class Lifecycle(_Lifecycle):
    session = Session
