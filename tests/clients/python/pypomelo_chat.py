"""The chat application over TCP with the PyPI package pypomelo, which knows nothing of Shaddock.

usage: python3 pypomelo_chat.py GATE_PORT [--expect-kick]

Prints "ok STEP" per step; exits with 1 and the reason on stderr at the first mismatch. With
--expect-kick it prints "ready-for-kick UID" and expects that user to be kicked within 10 s.

pypomelo's own transport needs a tornado older than this Python, so the bytes are moved here; packages,
messages, dictionary and protobuf are pypomelo's.
"""

import collections
import copy
import json
import os
import select
import socket
import sys
import time

from pypomelo.client import Client
from pypomelo.protocol import Protocol

STEP_S = 10.0
ENTER = "connector.entryHandler.enter"
SEND = "chat.chatHandler.send"
HEAD_BYTES = 4


class Mismatch(Exception):
    """What came is not what should have come."""


class ChatClient(Client):
    """A TCP transport under pypomelo's client; everything that comes is kept in order."""

    all = []

    def __init__(self, host, port):
        super().__init__(self)  # its own handler: on_push and on_response below
        self.peer = f"{host}:{port}"
        self.ready = False
        self.closed = False
        self.kick_reason = None
        self.pushes = collections.deque()
        self.answers = {}
        self.heartbeat_s = None
        self.next_heartbeat = None
        self.buffer = b""
        self.socket = socket.create_connection((host, port), timeout=STEP_S)
        ChatClient.all.append(self)
        self.send_sync()
        self.wait(lambda: self.ready, f"handshake with {self.peer}")

    # --- what pypomelo calls ---

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        self.closed = True
        self.socket.close()

    def on_connected(self, _client, _user):
        self.ready = True

    def on_heartbeat(self, _client):
        if self.heartbeat_s and self.next_heartbeat is None:
            self.next_heartbeat = time.monotonic() + self.heartbeat_s

    def on_push(self, _client, route, body):
        # pypomelo decodes every protobuf body into one and the same dict.
        self.pushes.append((route, copy.deepcopy(body)))

    def on_protocol(self, package):
        if package.proto_type == Protocol.PROTO_TYPE_SYC:
            self.heartbeat_s = json.loads(package.data).get("sys", {}).get("heartbeat")
        if package.proto_type == Protocol.PROTO_TYPE_FIN:
            self.kick_reason = json.loads(package.data)["reason"]
        super().on_protocol(package)

    # --- what the steps call ---

    def ask(self, route, body):
        key = object()

        def answered(_client, _route, _request, response):
            self.answers[key] = copy.deepcopy(response)

        self.send_request(route, body, answered)
        self.wait(lambda: key in self.answers, f"answer to {route}")
        return self.answers.pop(key)

    def expect_push(self, who, route, body):
        self.wait(lambda: self.pushes, f"push {route} to {who}")
        expect(self.pushes.popleft(), (route, body), f"push to {who}")

    def wait(self, done, what):
        """Moves the bytes of all clients until `done()`, so that none of them misses a heartbeat."""
        deadline = time.monotonic() + STEP_S
        while not done():
            if self.closed:
                raise Mismatch(f"{what}: the connection to {self.peer} was closed before")
            now = time.monotonic()
            if now >= deadline:
                raise Mismatch(f"{what}: nothing within {STEP_S:.0f} s")
            clients = [client for client in ChatClient.all if not client.closed]
            for client in clients:
                client.beat(now)
            wake = min([deadline] + [client.next_heartbeat for client in clients if client.next_heartbeat])
            for client in select.select(clients, [], [], max(0.0, wake - now))[0]:
                client.receive()

    def fileno(self):
        return self.socket.fileno()

    def beat(self, now):
        if self.next_heartbeat is not None and now >= self.next_heartbeat:
            self.next_heartbeat = None
            self.send_heartbeat()

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            self.close()
            return
        self.buffer += data
        while len(self.buffer) >= HEAD_BYTES:
            package = Protocol.unpack(self.buffer[:HEAD_BYTES])
            end = HEAD_BYTES + len(package)
            if len(self.buffer) < end:
                return
            package.append(self.buffer[HEAD_BYTES:end])
            self.buffer = self.buffer[end:]
            self.on_protocol(package)


def expect(actual, expected, what):
    if actual != expected:
        raise Mismatch(f"{what}: got {actual!r}, expected {expected!r}")


def enter(gate_port, name, rid):
    """Asks the gate and enters the room: the client and the connector's answer."""
    gate = ChatClient("127.0.0.1", gate_port)
    entry = gate.ask("gate.gateHandler.queryEntry", {"uid": name})
    gate.close()
    expect(entry.get("code"), 200, "the gate's answer")
    client = ChatClient(entry["host"], entry["port"])
    return client, client.ask(ENTER, {"username": name, "rid": rid})


def say(client, rid, name, content, target):
    return client.ask(SEND, {"rid": rid, "content": content, "from": name, "target": target})


def chat(gate_port, expect_kick):
    rid = f"py-{os.getpid()}"
    alice, answer = enter(gate_port, "alice", rid)
    expect(answer, {"users": ["alice"]}, "the answer to alice")
    print("ok alice-enters", flush=True)

    bob, answer = enter(gate_port, "bob", rid)
    expect(sorted(answer["users"]), ["alice", "bob"], "the users that bob gets")
    alice.expect_push("alice", "onAdd", {"route": "onAdd", "user": "bob"})
    print("ok bob-enters", flush=True)

    text = "hello 中文 😀"
    expect(say(alice, rid, "alice", text, "*"), {}, "the answer to alice")
    for who, client in (("alice", alice), ("bob", bob)):
        client.expect_push(who, "onChat", {"msg": text, "from": "alice", "target": "*"})
    print("ok chat-to-all", flush=True)

    expect(say(bob, rid, "bob", "psst", "alice"), {}, "the answer to bob")
    alice.expect_push("alice", "onChat", {"msg": "psst", "from": "bob", "target": "alice"})
    # What is said to all afterwards comes next, so the whisper reached nobody else.
    expect(say(bob, rid, "bob", "marker", "*"), {}, "the answer to bob")
    for who, client in (("alice", alice), ("bob", bob)):
        client.expect_push(who, "onChat", {"msg": "marker", "from": "bob", "target": "*"})
    print("ok whisper", flush=True)

    expect(say(alice, rid, "alice", "x", "nobody"), {"code": 500}, "the answer for an unknown target")
    print("ok errors-are-answered", flush=True)

    bob.close()
    alice.expect_push("alice", "onLeave", {"route": "onLeave", "user": "bob"})
    print("ok leave", flush=True)

    if expect_kick:
        carol, _ = enter(gate_port, "carol", rid)
        alice.expect_push("alice", "onAdd", {"route": "onAdd", "user": "carol"})
        print(f"ready-for-kick carol*{rid}", flush=True)
        carol.wait(lambda: carol.kick_reason is not None, "the kick")
        alice.expect_push("alice", "onLeave", {"route": "onLeave", "user": "carol"})
        print("ok kick", flush=True)
    expect((len(alice.pushes), len(bob.pushes)), (0, 0), "pushes that nobody expected")
    alice.close()


def main():
    arguments = sys.argv[1:]
    if not arguments or not arguments[0].isdigit():
        print("usage: python3 pypomelo_chat.py GATE_PORT [--expect-kick]", file=sys.stderr)
        return 2
    try:
        chat(int(arguments[0]), "--expect-kick" in arguments)
    except (Mismatch, OSError, AssertionError, KeyError, ValueError) as error:
        print(f"FAILED {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("ok all", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
