"""The cases that tests/tests/conformance.rs puts to every language."""

import shared  # the cases that ask nobody
from shaddock import Failure, pick, plugin, rpc
from shaddock.exports import *


@plugin.route("connector.caseHandler.enter")
def enter(message, session):
    """Notes where to go."""
    session.bind(message["name"])
    session.set("to", message["to"])
    session.push()
    return {"name": message["name"]}


@plugin.route("connector.caseHandler.relay")
def relay(message, session):
    """Calls a remote, and answers what became of it."""
    try:
        return {"answer": rpc.call("conform", "relay", f"caseRemote.{message['method']}", message["args"])}
    except Failure as e:
        return {"code": e.code, "message": e.message}


@plugin.router("conform")
def route(key, servers, method):
    to = key.text("to")
    if to == "nowhere":
        raise Failure(418, "no such way")
    return pick(to, servers)
