"""Guess the number, in rooms.

A client enters a room at its connector, joins it on the guess server that the room's name leads to, and guesses. The rooms
live in the plugin's memory: on guess servers it has the pool policy `single`.
"""

import random
from dataclasses import dataclass

from shaddock import Channel, Failure, Member, app, pick, plugin, rpc, timers
from shaddock.exports import *

#: The largest number that can be the secret; the smallest is 1.
NUMBER_MAX = 100
#: Longest name of a player or a room, in characters.
NAME_CHARS_MAX = 32


@dataclass
class Round:
    """What is being played in a room."""

    number: int
    secret: int
    timer: int


rounds: dict[str, Round] = {}


def field(message, name, *types):
    """A field of a message, if it is of one of these types."""
    value = message.get(name) if isinstance(message, dict) else None
    if type(value) not in types:
        raise Failure(400, f"{name} is of the wrong type")
    return value


@plugin.route("connector.roomHandler.enter")
def enter(message, session):
    """Connector: notes who is in which room, so that the route function knows."""
    name, room = field(message, "name", str), field(message, "room", str)
    if not all(1 <= len(text) <= NAME_CHARS_MAX for text in (name, room)):
        raise Failure(400, f"a name has 1 to {NAME_CHARS_MAX} characters")
    session.bind(name)
    left(session, "")
    session.set("room", room)
    session.push()
    return {"name": name, "room": room}


@plugin.route("connector.roomHandler.status")
def look(message, session):
    """Connector: asks the guess server that has the room."""
    room = field(message, "room", str)
    return rpc.call("guess", room, "roomRemote.status", {"room": room})


@plugin.router("guess")
def by_room(key, servers, method):
    """Route function: the guess server of the room's name."""
    return pick(key.text("room"), servers)


def room_of(session):
    room = session.get("room")
    if room is None:
        raise Failure(403, "enter a room first")
    return room


def begin(room, number):
    """Begins a round, in which there is so much time to guess."""
    timer = timers.after(app.settings.get("roundMs", 60_000), "round", {"room": room, "round": number})
    rounds[room] = Round(number, random.randint(1, NUMBER_MAX), timer)
    return rounds[room]


def end(room, ended):
    """Ends a round, and begins the next."""
    timers.cancel(ended.timer)
    begin(room, ended.number + 1)


@plugin.route("guess.roomHandler.join")
def join(message, session):
    room, member = room_of(session), session.member()
    channel = Channel(room)
    is_new = channel.join(member)
    current = rounds.get(room) or begin(room, 1)
    if is_new:
        channel.push("onJoin", {"name": member.uid, "room": room})
    return {"players": [player.uid for player in channel.members()], "room": room, "round": current.number}


@plugin.route("guess.roomHandler.guess")
def guess(message, session):
    number = field(message, "number", int, float)
    if not 1 <= number <= NUMBER_MAX or number != int(number):
        raise Failure(400, f"number is a whole number from 1 to {NUMBER_MAX}")
    room, name = room_of(session), session.member().uid
    channel = Channel(room)
    current = rounds.get(room)
    if current is None or channel.find(name) is None:
        raise Failure(403, "join the room first")
    if number != current.secret:
        return {"answer": "higher" if number < current.secret else "lower", "round": current.number}
    end(room, current)
    channel.push("onRight", {"name": name, "number": current.secret, "room": room, "round": current.number})
    return {"answer": "right", "round": current.number}


@plugin.timer("round")
def time_up(payload):
    """Timer: nobody found the number in time."""
    room = payload["room"]
    ended = rounds.get(room)
    if ended is None or ended.number != payload["round"]:
        return  # found at the last moment
    end(room, ended)
    Channel(room).push("onTimeout", {"number": ended.secret, "room": room, "round": ended.number})


@plugin.remote("guess.roomRemote.status")
def status(args):
    """Remote: what goes on in a room."""
    room = args["room"]
    if room not in rounds:
        raise Failure(404, f"nobody plays in {room}")
    players = len(Channel(room).members())
    return {"players": players, "room": room, "round": rounds[room].number, "server": app.own_server().id}


@plugin.remote("guess.roomRemote.leave")
def leave(args):
    """Remote: takes a player out of a room, and ends the game with the last one."""
    member, room = Member(args["uid"], args["frontend"]), args["room"]
    channel = Channel(room)
    if not channel.leave(member):
        return
    if channel.members():
        channel.push("onLeave", {"name": member.uid, "room": room})
    elif ended := rounds.pop(room, None):
        timers.cancel(ended.timer)


@plugin.session_closed
def left(session, reason):
    """Connector: a session has gone, or enters another room."""
    room = session.get("room")
    if room is not None:
        args = {"frontend": session.frontend, "room": room, "uid": session.uid}
        rpc.call("guess", session, "roomRemote.leave", args)


@plugin.route("guess.roomHandler.crash")
def crash(message, session):
    """What becomes of an error that nobody handles: the client gets the code 500, and the log the message."""
    raise RuntimeError(field(message, "text", str))
