"""Greets whoever asks."""

from shaddock import Failure, app, plugin
from shaddock.exports import *


@plugin.route("connector.helloHandler.greet")
def greet(message, session):
    """Greets a client, counts how often it came, and pushes `onGreet` to it."""
    name = message.get("name")
    if not isinstance(name, str) or not name:
        raise Failure(400, "a name has at least one letter")
    visits = (session.get("visits") or 0) + 1
    session.set("visits", visits)
    session.push()
    session.send("onGreet", {"visits": visits})
    print(f"{name} came {visits} times")
    return {"text": f"{app.settings['greeting']}, {name}!", "visits": visits}
