"""The cases that ask nobody: the plugin with many calls in flight has the same."""

import os
import random
import sys

from shaddock import Channel, Failure, app, plugin


@plugin.route("conform.caseHandler.where")
def where(message, session):
    return {"server": app.own_server().id}


@plugin.route("conform.caseHandler.join")
def join(message, session):
    Channel("all").join(session.member())


@plugin.route("conform.caseHandler.echo")
def echo(message, session):
    return message


@plugin.route("conform.caseHandler.ids")
def ids(message, session):
    return {"id": message["id"], "text": str(message["id"])}


@plugin.route("conform.caseHandler.note")
def note(message, session):
    Channel("all").push("onNote", message)


@plugin.route("conform.caseHandler.fields")
def fields(message, session):
    return {"maybe": message.get("maybe")}


@plugin.route("conform.caseHandler.size")
def size(message, session):
    return {"chars": len(message["text"])}


@plugin.route("conform.caseHandler.big")
def big(message, session):
    return {"text": "x" * message["chars"]}


@plugin.remote("conform.caseRemote.echo")
def echo_remote(args):
    return args


@plugin.remote("conform.caseRemote.fail")
def fail_remote(args):
    raise Failure(args["code"], args["message"])


@plugin.route("conform.caseHandler.fail")
def fail(message, session):
    fail_remote(message)


@plugin.route("conform.caseHandler.crash")
def crash(message, session):
    raise LookupError(message["text"])


@plugin.route("conform.caseHandler.odd")
def odd(message, session):
    raise message["text"]


@plugin.route("conform.caseHandler.wrong")
def wrong(message, session):
    return {"set": {1, 2}}


@plugin.route("conform.caseHandler.trap")
def trap(message, session):
    os.abort()


@plugin.route("conform.caseHandler.spin")
def spin(message, session):
    while True:
        pass


def deeper(depth):
    return 1 + deeper(depth + 1)


@plugin.route("conform.caseHandler.recurse")
def recurse(message, session):
    return {"depth": deeper(0)}


@plugin.route("conform.caseHandler.print")
def tell(message, session):
    print(f"{message['text']} \0\x1b[31m\udc80\nforged")
    sys.stdout.write("begun, and not ended")


@plugin.route("conform.caseHandler.chance")
def chance(message, session):
    return {"number": random.random()}
