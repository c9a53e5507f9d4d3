"""A host for unit tests, which run on this machine: `shaddock test` does, without a server.

    from shaddock_testing import Host  # before the plugin
    import guess

It behaves as a server with one frontend does: sessions keep their users and settings, channels their members, and whatever the
plugin sends, calls, sets and logs is kept to be looked at. A call that has no answer prepared fails with 404.
"""

import contextlib
import json
import sys
import time
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace

#: The id of the only frontend.
FRONTEND = "connector-1"


class Err(Exception):
    """A failure, as it crosses between plugin and host."""

    def __init__(self, value):
        super().__init__(value)
        self.value = value


@dataclass(frozen=True)
class SessionId:
    frontend_id: str
    number: int


@dataclass
class Setting:
    key: str
    value: str


@dataclass
class RawSession:
    id: SessionId
    uid: str | None = None
    settings: list[Setting] = field(default_factory=list)


@dataclass
class RawFailure:
    code: int
    message: str
    retryable: bool


@dataclass(frozen=True)
class ServerInfo:
    id: str
    server_type: str
    frontend: bool = False
    host: str = "127.0.0.1"
    port: int | None = None
    client_host: str | None = None
    client_port: int | None = None
    fields: str = "{}"


@dataclass(frozen=True)
class Member:
    uid: str
    frontend_id: str


@dataclass
class Push:
    """A message to clients; `to` has the users, and is None for one that goes to all of a server type."""

    to: list[str] | None
    route: str
    body: object


@dataclass
class Call:
    """A call to another plugin."""

    server_type: str
    method: str
    args: object


@dataclass
class Timer:
    """A timer that is set."""

    id: int
    ms: int
    again: bool
    name: str
    payload: object


def _fail(code, message):
    raise Err(RawFailure(code, message, False))


#: The host of the test that runs.
_host = None


class Host:
    """The host of one test. A new one begins from nothing, and takes the place of the one before."""

    def __init__(self, settings=None):
        global _host
        _host = self
        #: Milliseconds since 1970. It stands until it is set again.
        self.now_ms = 1_700_000_000_000
        #: The random bytes that the plugin gets, again and again. (`random` begins with them.)
        self.random = [7]
        #: The servers that are up, the plugin's own first.
        self.servers = [ServerInfo("area-1", "area")]
        self.pushes, self.calls, self.timers, self.log = [], [], [], []
        self._answers, self._channels, self._sessions, self._copies = {}, {}, {}, []
        self._timers_set = 0
        shaddock._system._State.seeded = False
        _outcome(_exports.Lifecycle().init, json.dumps(settings or {}))

    def answer(self, method, function):
        """What a remote of another plugin answers from now on; `method` is `serverType.service.method`."""
        self._answers[method] = function

    def session(self, uid=None):
        """A client that has connected, with this user if one is named. Answers its number."""
        number = len(self._sessions) + 1
        self._sessions[number] = RawSession(SessionId(FRONTEND, number), uid)
        return number

    def session_now(self, number):
        """The session as its frontend has it: with what was bound and pushed."""
        return shaddock.Session(self._sessions[number])

    def request(self, route, message, session):
        """Sends a message to a handler as a client does. Answers its answer, or raises its Failure."""
        known = self._sessions[session]
        copy = replace(known, settings=[replace(setting) for setting in known.settings])
        self._copies.append(copy)
        try:
            answer = _outcome(_exports.Handler().handle, route, json.dumps(message).encode(), copy)
        finally:
            self._copies.pop()
        return json.loads(answer) if answer else {}

    def call(self, method, args):
        """Calls a remote of the plugin as another plugin does."""
        return json.loads(_outcome(_exports.Remote().call, method, json.dumps(args).encode()))

    def fire(self, timer):
        """Lets a timer go off."""
        if not timer.again:
            self.timers.remove(timer)
        _outcome(_exports.Timer().fired, timer.name, timer.id, json.dumps(timer.payload).encode())

    def disconnect(self, session, reason="client closed"):
        """Ends a session."""
        _outcome(_exports.Lifecycle().session_closed, self._sessions.pop(session), reason)

    def _of(self, id):
        return self._sessions.get(id.number) or _fail(404, f"no session {id.number}")

    def _copy(self, id):
        for copy in self._copies[-1:]:
            if copy.id == id:
                return copy
        return _fail(400, f"the call has no copy of session {id.number}")

    def _push(self, members, route, body):
        self.pushes.append(Push([member.uid for member in members], route, json.loads(body)))

    def _members(self, name):
        return self._channels[name] if name in self._channels else _fail(404, f"no channel {name}")

    def _ask(self, server_type, method, args):
        args = json.loads(args)
        self.calls.append(Call(server_type, method, args))
        function = self._answers.get(f"{server_type}.{method}")
        if function is None:
            _fail(404, f"the test has no answer of {server_type}.{method}")
        try:
            return json.dumps(function(args)).encode()
        except shaddock.Failure as e:
            raise Err(RawFailure(e.code, e.message, e.retryable)) from None

    def _set_timer(self, ms, again, name, payload):
        self._timers_set += 1
        self.timers.append(Timer(self._timers_set, ms, again, name, json.loads(payload)))
        return self._timers_set


@contextlib.contextmanager
def _in_the_plugin():
    """Within a call the clock and what is printed are the host's; the test itself has its own."""
    vars(time).update(_host_clock)
    sys.stdout, sys.stderr = _host_streams
    try:
        yield
    finally:
        vars(time).update(_own_clock)
        sys.stdout, sys.stderr = _own_streams


def _outcome(function, *arguments):
    try:
        with _in_the_plugin():
            return function(*arguments)
    except Err as e:
        failure = shaddock.Failure(e.value.code, e.value.message, e.value.retryable)
    raise failure


def _put(settings, key, value):
    for setting in settings:
        if setting.key == key:
            setting.value = value
            return
    settings.append(Setting(key, value))


class _App:
    log = staticmethod(lambda level, message: _host.log.append((level, message)))
    own_server = staticmethod(lambda: _host.servers[0])
    servers = staticmethod(lambda kind: [server for server in _host.servers if server.server_type == kind])
    server = staticmethod(lambda id: next((server for server in _host.servers if server.id == id), None))
    server_types = staticmethod(lambda: sorted({server.server_type for server in _host.servers}))
    now_ms = staticmethod(lambda: _host.now_ms)
    monotonic_ns = staticmethod(lambda: _host.now_ms * 1_000_000)
    random_bytes = staticmethod(lambda count: bytes(_host.random[at % len(_host.random)] for at in range(count)))
    Level = SimpleNamespace(DEBUG="debug", INFO="info", WARN="warn", ERROR="error")


class _Sessions:
    @staticmethod
    def bind(id, uid):
        session = _host._of(id)
        if session.uid not in (None, uid):
            _fail(409, f"the session is bound to {session.uid}")
        session.uid = uid

    @staticmethod
    def unbind(id, uid):
        session = _host._of(id)
        if session.uid != uid:
            _fail(409, f"the session is not bound to {uid}")
        session.uid = None

    @staticmethod
    def set(id, key, value):
        _put(_host._copy(id).settings, key, value)

    @staticmethod
    def push(id, keys):
        for setting in _host._copy(id).settings:
            if not keys or setting.key in keys:
                _put(_host._of(id).settings, setting.key, setting.value)

    kick = staticmethod(lambda id, reason: _host._sessions.pop(id.number, None))
    send = staticmethod(lambda id, route, body: _host._push([_host._of(id)], route, body))
    address = staticmethod(lambda id: _host._of(id) and "127.0.0.1:1024")


class _Channels:
    @staticmethod
    def create(name):
        is_new = name not in _host._channels
        _host._channels.setdefault(name, [])
        return is_new

    @staticmethod
    def join(name, member):
        members = _host._channels.setdefault(name, [])
        if member in members:
            return False
        members.append(member)
        return True

    @staticmethod
    def leave(name, member):
        members = _host._channels.get(name, [])
        if member not in members:
            return False
        members.remove(member)
        if not members:
            del _host._channels[name]
        return True

    members = staticmethod(lambda name: list(_host._members(name)))
    find = staticmethod(lambda name, uid: next((m for m in _host._channels.get(name, []) if m.uid == uid), None))
    push = staticmethod(lambda name, route, body: _host._push(_host._members(name), route, body))
    destroy = staticmethod(lambda name: _host._channels.pop(name, None) is not None)

    @staticmethod
    def push_to(members, route, body):
        _host._push(members or _fail(400, "a push to nobody"), route, body)

    @staticmethod
    def broadcast(server_type, route, body, bound_only):
        _host.pushes.append(Push(None, route, json.loads(body)))


class _Rpc:
    RouteKey_Value = staticmethod(lambda value: value)
    RouteKey_Session = staticmethod(lambda value: value)
    call = staticmethod(lambda server_type, key, method, args: _host._ask(server_type, method, args))

    @staticmethod
    def call_server(id, method, args):
        server = _App.server(id) or _fail(503, f"no server {id}")
        return _host._ask(server.server_type, method, args)

    @staticmethod
    def call_all(server_type, method, args):
        outcomes = []
        for server in _App.servers(server_type):
            try:
                outcomes.append((server.id, SimpleNamespace(value=_host._ask(server_type, method, args))))
            except Err as e:
                outcomes.append((server.id, e))
        return outcomes

    @staticmethod
    def notify(server_type, key, method, args):
        try:
            _host._ask(server_type, method, args)
        except Err:
            pass  # nobody waits for the outcome


class _Timers:
    after = staticmethod(lambda ms, name, payload: _host._set_timer(ms, False, name, payload))
    every = staticmethod(lambda ms, name, payload: _host._set_timer(ms, True, name, payload))

    @staticmethod
    def cancel(id):
        known = [timer for timer in _host.timers if timer.id == id]
        _host.timers = [timer for timer in _host.timers if timer.id != id]
        return bool(known)


def _module(name, **content):
    """A module in the place of one that a component has."""
    module = ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module
    return module


def _of(namespace):
    return {name: getattr(namespace, name) for name in dir(namespace) if not name.startswith("__")}


_module("componentize_py_types", Err=Err)
_types = _module("wit_world.imports.types", Failure=RawFailure, Member=Member, ServerInfo=ServerInfo)
_imports = {
    name: _module(f"wit_world.imports.{name}", **_of(content))
    for name, content in
    [("app", _App), ("sessions", _Sessions), ("channels", _Channels), ("rpc", _Rpc), ("timers", _Timers)]
}
_router = _module("wit_world.exports.router", RouteKey_Session=RawSession, Target_Id=SimpleNamespace)
_module("wit_world")
_module("wit_world.imports", types=_types, **_imports)
_module("wit_world.exports", router=_router)

_own_clock, _own_streams = dict(vars(time)), (sys.stdout, sys.stderr)
import shaddock  # noqa: E402 - it needs what was put in its place above
from shaddock import exports as _exports  # noqa: E402

_host_clock, _host_streams = dict(vars(time)), (sys.stdout, sys.stderr)
vars(time).update(_own_clock)
sys.stdout, sys.stderr = _own_streams
