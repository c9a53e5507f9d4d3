"""The cases that tests/tests/conformance.rs puts to plugins with many calls in flight."""

import shared  # the cases that ask nobody
from shaddock.concurrent import Channel, Failure, gather, plugin, rpc, timers
from shaddock.concurrent_exports import *


@plugin.route("connector.caseHandler.enter")
async def enter(message, session):
    """Notes where to go."""
    await session.bind(message["name"])
    session.set("to", message["to"])
    await session.push()
    return {"name": message["name"]}


@plugin.route("connector.caseHandler.relay")
async def relay(message, session):
    """Calls a remote, and answers what became of it."""
    try:
        return {"answer": await rpc.call("conform", "relay", f"caseRemote.{message['method']}", message["args"])}
    except Failure as e:
        return {"code": e.code, "message": e.message}


@plugin.route("connector.caseHandler.gather")
async def gather_all(message, session):
    """Makes so many calls at once; answers how many were in flight, and the sum of what they were given."""
    calls = [rpc.call("conform", "gather", "caseRemote.meet", number) for number in range(message["count"])]
    answers = await gather(*calls)
    return {"most": max(here for _, here in answers), "sum": sum(number for number, _ in answers)}


#: Of the calls of `meet`: how many are in flight, and how many there were at most.
here = most = 0


@plugin.remote("conform.caseRemote.meet")
async def meet(number):
    """Waits for another server with others beside it; answers the most that were there at once."""
    global here, most
    here += 1
    most = max(most, here)
    await rpc.call("conform", "meet", "caseRemote.echo", number)
    here -= 1
    return [number, most]


@plugin.route("connector.caseHandler.own")
async def own(value, session):
    """Sets the call's own copy of the session, waits, and pushes it."""
    session.set("own", value)
    await rpc.call("conform", "own", "caseRemote.echo", value)
    await session.push()
    return {"now": (await session.fresh()).get("own")}


@plugin.route("conform.caseHandler.soon")
def soon(message, session):
    """Sets a timer that pushes what it is given."""
    timers.after(20, "soon", message)


@plugin.timer("soon")
async def came(message):
    Channel("all").push("onSoon", await rpc.call("conform", "soon", "caseRemote.echo", message))
