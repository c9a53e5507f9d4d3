"""Write plugins with many calls in flight in one instance: while one waits, others go on.

A project of this kind has `"concurrent": true` in its shaddock.json. Handlers, remotes and timers are `async def`, or plain
functions if they wait for nothing, and the module ends with

    from shaddock.concurrent_exports import *

Calls to other servers, and to sessions, are awaited; `gather` waits for many at once. The rest is that of `shaddock`.
"""

from asyncio import gather

from componentize_py_types import Err
from wit_world.imports import async_rpc as _rpc
from wit_world.imports import async_sessions as _sessions

from . import Channel, Failure, Member, Server, app, broadcast, crc32, decode, encode, plugin, push_to, timers
from . import Session as _Session
from . import _ask, _failure

__all__ = [
    "Channel", "Failure", "Member", "Server", "Session", "app", "broadcast", "crc32", "gather", "plugin", "push_to", "rpc",
    "timers",
]


async def _wait(waiting):
    """Waits for the host, whose failures are raised as they are known here."""
    try:
        return await waiting
    except Err as e:
        failure = _failure(e)
    raise failure


class Session(_Session):
    """The session of a client: a copy made when the call was dispatched."""

    def set(self, key, value):
        """Changes a setting of this copy; `push` lets the next call see it."""
        text = encode(value).decode()
        _ask(_sessions.set, self.id, key, text)
        self._settings[key] = text

    async def push(self, *keys):
        """Writes the settings named, or all, to the frontend. The last writer wins."""
        await _wait(_sessions.push(self.id, list(keys)))

    async def bind(self, uid):
        """Binds a user. The same user again is fine, another one fails (409)."""
        await _wait(_sessions.bind(self.id, uid))
        self.uid = uid

    async def unbind(self):
        """Takes the binding back. Nothing happens if there is none."""
        if self.uid is not None:
            await _wait(_sessions.unbind(self.id, self.uid))
            self.uid = None

    async def kick(self, reason):
        """Tells the client why, and closes the connection."""
        await _wait(_sessions.kick(self.id, reason))

    async def send(self, route, message):
        """Sends a push message to this session, whether a user is bound or not."""
        await _wait(_sessions.send(self.id, route, encode(message)))

    async def address(self):
        """The address of the client, `ip:port` as its frontend sees it."""
        return await _wait(_sessions.address(self.id))

    async def fresh(self):
        """The session as its frontend has it now; fails (404) if it has gone."""
        return Session(await _wait(_sessions.get(self.id)))


class rpc:
    """Calls to the remotes of plugins on other servers; `method` is `service.method`."""

    @staticmethod
    def _key(key):
        return _rpc.RouteKey_Value(key) if isinstance(key, str) else _rpc.RouteKey_Session(key.id)

    @staticmethod
    async def call(server_type, key, method, args):
        """Calls one server of a type, picked by its route function, which gets a session or a text as the key."""
        return decode(await _wait(_rpc.call(server_type, rpc._key(key), method, encode(args))))

    @staticmethod
    async def call_server(server_id, method, args):
        """Calls one server by its id."""
        return decode(await _wait(_rpc.call_server(server_id, method, encode(args))))

    @staticmethod
    async def call_all(server_type, method, args):
        """Calls all servers of a type at once; answers, by server id, each one's answer or its Failure."""
        answers = {}
        for server_id, outcome in await _rpc.call_all(server_type, method, encode(args)):
            answers[server_id] = _failure(outcome) if isinstance(outcome, Err) else decode(outcome.value)
        return answers

    @staticmethod
    async def notify(server_type, key, method, args):
        """As `call`, without waiting for the outcome."""
        await _wait(_rpc.notify(server_type, rpc._key(key), method, encode(args)))
