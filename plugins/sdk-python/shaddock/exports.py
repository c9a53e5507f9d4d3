"""What the host calls: `from shaddock.exports import *` in the module of a plugin."""

from wit_world.exports import router

from . import Failure, RouteKey, Session, encode, plugin
from ._calls import Lifecycle, guard, message_of

__all__ = ["Handler", "Lifecycle", "Remote", "Router", "Timer"]


#: The servers by type, as the host told them last.
_servers = {}


class Handler:
    def routes(self):
        return list(plugin.routes)

    def handle(self, route, body, session):
        return guard(route, self._handle, route, body, session)

    def _handle(self, route, body, session):
        answer = plugin.routes[route](message_of(body), Session(session))
        return b"" if answer is None else encode(answer)


class Remote:
    def methods(self):
        return list(plugin.remotes)

    def call(self, method, args):
        return guard(method, lambda: encode(plugin.remotes[method](message_of(args))))


class Router:
    def server_types(self):
        return list(plugin.routers)

    def set_servers(self, server_type, servers):
        _servers[server_type] = servers

    def route(self, server_type, key, method):
        return guard(server_type, self._route, server_type, key, method, routing=True)

    def _route(self, server_type, key, method):
        by_session = isinstance(key, router.RouteKey_Session)
        key = RouteKey(session=Session(key.value)) if by_session else RouteKey(value=key.value)
        server = plugin.routers[server_type](key, _servers.get(server_type, []), method)
        if server is None:
            raise Failure(503, "no server of the type is up", retryable=True)
        return router.Target_Id(server.id)


class Timer:
    def fired(self, name, id, payload):
        guard(f"timer {name}", lambda: plugin.timers[name](message_of(payload)))
