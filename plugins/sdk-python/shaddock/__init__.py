"""Write Shaddock plugins in Python.

A plugin is a module of functions with decorators of `plugin`, and this line, which is what the host calls:

    from shaddock.exports import *

Messages are values of JSON. What is raised is the failure of the call: a `Failure` with its code, anything else with the
code 500 and its message in the log. `logging` and `print` go to the server's log.
"""

import binascii
import encodings.utf_16_le  # a codec is imported when it is first used, and at run time there is no file to import
import json

from componentize_py_types import Err
from wit_world.imports import app as _app
from wit_world.imports import channels as _channels
from wit_world.imports import timers as _timers
from wit_world.imports.types import Member, ServerInfo as Server

try:
    from wit_world.imports import rpc as _rpc
    from wit_world.imports import sessions as _sessions
except ImportError:
    pass  # a plugin with many calls in flight: `shaddock.concurrent` has these for it

from . import _system

__all__ = [
    "Channel", "Failure", "Member", "RouteKey", "Server", "Session", "app", "broadcast", "crc32", "pick", "plugin",
    "push_to", "rpc", "timers",
]

_system.install()


class Failure(Exception):
    """Why a call gives no result: a code for the client, a message for the log.

    `retryable` says whether the same call may succeed later without harm.
    """

    def __init__(self, code, message, retryable=False):
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


def _no_json(name):
    raise ValueError(f"{name} is no JSON")


# Made once: `json.dumps` and `json.loads` make their own at each call with options.
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_decoder = json.JSONDecoder(parse_constant=_no_json)


def encode(value):
    """A value as JSON in UTF-8."""
    return _encoder.encode(value).encode()


def decode(body):
    """The value that JSON in UTF-8 stands for; a ValueError if it is none."""
    text = body.decode()
    try:
        value, end = _decoder.raw_decode(text)
    except json.JSONDecodeError:
        end = None
    if end == len(text):
        return value
    # There is white space around it, or an error, which this tells.
    return json.loads(text, parse_constant=_no_json)


def _ask(function, *arguments):
    """Calls the host, whose failures are raised as they are known here."""
    try:
        return function(*arguments)
    except Err as e:
        failure = _failure(e)
    raise failure


def _failure(error):
    """A failure of the host's as it is known here."""
    return Failure(error.value.code, error.value.message, error.value.retryable)


class Session:
    """The session of a client: a copy made when the call was dispatched."""

    def __init__(self, raw):
        self.id = raw.id
        self.uid = raw.uid
        self._settings = {setting.key: setting.value for setting in raw.settings}

    @property
    def frontend(self):
        """The id of the frontend that holds the connection."""
        return self.id.frontend_id

    def member(self):
        """The user as a channel knows it; fails (401) if none is bound."""
        if self.uid is None:
            raise Failure(401, "no user is bound to the session")
        return Member(self.uid, self.frontend)

    def get(self, key, default=None):
        """A setting."""
        value = self._settings.get(key)
        return default if value is None else json.loads(value)

    def set(self, key, value):
        """Changes a setting of this copy; `push` lets the next call see it."""
        text = encode(value).decode()
        _ask(_sessions.set, self.id, key, text)
        self._settings[key] = text

    def push(self, *keys):
        """Writes the settings named, or all, to the frontend. The last writer wins."""
        _ask(_sessions.push, self.id, list(keys))

    def bind(self, uid):
        """Binds a user. The same user again is fine, another one fails (409)."""
        _ask(_sessions.bind, self.id, uid)
        self.uid = uid

    def unbind(self):
        """Takes the binding back. Nothing happens if there is none."""
        if self.uid is not None:
            _ask(_sessions.unbind, self.id, self.uid)
            self.uid = None

    def kick(self, reason):
        """Tells the client why, and closes the connection."""
        _ask(_sessions.kick, self.id, reason)

    def send(self, route, message):
        """Sends a push message to this session, whether a user is bound or not."""
        _ask(_sessions.send, self.id, route, encode(message))

    def address(self):
        """The address of the client, `ip:port` as its frontend sees it."""
        return _ask(_sessions.address, self.id)


class Channel:
    """A channel of this server. It begins with its first member, and ends with the last unless `create` made it."""

    def __init__(self, name):
        self.name = name

    def create(self):
        """Makes the channel stay while it is empty. True if it is new."""
        return _ask(_channels.create, self.name)

    def join(self, member):
        """Adds a member. False if it was one already."""
        return _ask(_channels.join, self.name, member)

    def leave(self, member):
        """Removes a member. False if it was none."""
        return _channels.leave(self.name, member)

    def members(self):
        """The members; none if there is no such channel."""
        try:
            return _ask(_channels.members, self.name)
        except Failure as e:
            if e.code == 404:
                return []
            raise

    def find(self, uid):
        """The first member with this user id, or None."""
        return _channels.find(self.name, uid)

    def push(self, route, message):
        """Sends a push message to everybody who is a member now; fails (404) if there is no such channel."""
        _ask(_channels.push, self.name, route, encode(message))

    def destroy(self):
        """Removes the channel with all its members. False if there is none."""
        return _channels.destroy(self.name)


def push_to(members, route, message):
    """Sends a push message to the users named; fails (400) if there are none."""
    _ask(_channels.push_to, members, route, encode(message))


def broadcast(server_type, route, message, bound_only=False):
    """Sends a push message to all sessions, or the bound ones, of every frontend of a type."""
    _ask(_channels.broadcast, server_type, route, encode(message), bound_only)


class rpc:
    """Calls to the remotes of plugins on other servers; `method` is `service.method`."""

    @staticmethod
    def _key(key):
        return _rpc.RouteKey_Value(key) if isinstance(key, str) else _rpc.RouteKey_Session(key.id)

    @staticmethod
    def call(server_type, key, method, args):
        """Calls one server of a type, picked by its route function, which gets a session or a text as the key."""
        return decode(_ask(_rpc.call, server_type, rpc._key(key), method, encode(args)))

    @staticmethod
    def call_server(server_id, method, args):
        """Calls one server by its id."""
        return decode(_ask(_rpc.call_server, server_id, method, encode(args)))

    @staticmethod
    def call_all(server_type, method, args):
        """Calls all servers of a type at once; answers, by server id, each one's answer or its Failure."""
        answers = {}
        for server_id, outcome in _rpc.call_all(server_type, method, encode(args)):
            answers[server_id] = _failure(outcome) if isinstance(outcome, Err) else decode(outcome.value)
        return answers

    @staticmethod
    def notify(server_type, key, method, args):
        """As `call`, without waiting for the outcome."""
        _ask(_rpc.notify, server_type, rpc._key(key), method, encode(args))


class timers:
    """Timers of this server, which call the functions that `plugin.timer` names."""

    @staticmethod
    def after(delay_ms, name, payload):
        """Calls it once, after a delay of at most 100 days. Answers the timer's number."""
        return _ask(_timers.after, delay_ms, name, encode(payload))

    @staticmethod
    def every(period_ms, name, payload):
        """Calls it again and again, at least 10 milliseconds apart."""
        return _ask(_timers.every, period_ms, name, encode(payload))

    @staticmethod
    def cancel(timer):
        """False if there is no such timer any more."""
        return _timers.cancel(timer)


class app:
    """The server that the plugin runs in."""

    #: The plugin's own settings from plugins.json.
    settings = {}
    own_server = staticmethod(_app.own_server)
    #: The servers of a type that are up now, sorted by id.
    servers = staticmethod(_app.servers)
    server = staticmethod(_app.server)
    server_types = staticmethod(_app.server_types)
    #: Random bytes of cryptographic quality; at most 4096.
    random_bytes = staticmethod(_app.random_bytes)


class RouteKey:
    """What a route function decides by: a `session`, or the caller's own text, `value`."""

    def __init__(self, session=None, value=None):
        self.session = session
        self.value = value

    def text(self, setting):
        """The caller's own text, or that setting of the session; empty if there is neither."""
        return self.value if self.session is None else str(self.session.get(setting, ""))


def crc32(text):
    """CRC-32 over the low byte of each UTF-16 unit, as a signed number."""
    crc = binascii.crc32(text.encode("utf-16-le", "surrogatepass")[::2])
    return crc - (1 << 32) if crc >> 31 else crc


def pick(text, servers):
    """The server that a text's hash names: `abs(crc32(text)) % n`, as pomelo's dispatchers do; None if there is none."""
    return servers[abs(crc32(text)) % len(servers)] if servers else None


class _Plugin:
    """What a plugin offers, told by decorators."""

    def __init__(self):
        self.routes = {}
        self.remotes = {}
        self.routers = {}
        self.timers = {}
        self.moments = {}

    @staticmethod
    def _into(table, name):
        def remember(function):
            table[name] = function
            return function
        return remember

    def route(self, name):
        """A handler `(message, session)` of a route `serverType.handler.method`. No answer is `{}`."""
        return self._into(self.routes, name)

    def remote(self, name):
        """A remote `(args)`, `serverType.service.method`."""
        return self._into(self.remotes, name)

    def router(self, server_type):
        """A route function `(key, servers, method)` for a server type; the answer is one of the servers."""
        return self._into(self.routers, server_type)

    def timer(self, name):
        """What the timers of that name call, `(payload)`."""
        return self._into(self.timers, name)

    def init(self, function):
        """Runs in every new instance before its first call."""
        return self._into(self.moments, "init")(function)

    def start(self, function):
        """Runs once per server, before clients are served."""
        return self._into(self.moments, "start")(function)

    def stop(self, function):
        """Runs once per server, before it stops."""
        return self._into(self.moments, "stop")(function)

    def session_closed(self, function):
        """Runs on its frontend when a session has gone, `(session, reason)`."""
        return self._into(self.moments, "session_closed")(function)


plugin = _Plugin()
