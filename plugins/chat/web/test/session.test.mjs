// A stay in the chat, against sockets made here and a clock moved by hand.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { ChatError, ChatSession } from "../chat-session.js";
import { PackageType } from "../wire.js";
import { FakeSocket, answer, push, settle } from "./fake-socket.mjs";

const GATE = "ws://gate:3014/";
const kindIs = (kind) => (error) => error instanceof ChatError && error.kind === kind;

/** A session whose events are kept as [name, …arguments]. */
function begin() {
  const events = [];
  const names = ["onEnter", "onUsers", "onJoined", "onLeft", "onMessage", "onReconnecting", "onEnd"];
  const listener = Object.fromEntries(names.map((name) => [name, (...rest) => events.push([name, ...rest])]));
  return { events, session: new ChatSession(GATE, listener, { WebSocket: FakeSocket }) };
}

/** Opens the newest socket, which must be for this URL, and shakes hands. */
async function shakeHands(url) {
  const socket = FakeSocket.last;
  assert.equal(socket.url, url);
  socket.serverOpens();
  socket.serverSends([PackageType.HANDSHAKE, '{"code":200,"sys":{}}']);
  await settle();
  return socket;
}

/** Plays gate and connector up to the `enter` request; gives the connector's socket. */
async function upToEnter() {
  const gate = await shakeHands(GATE);
  gate.serverSends(answer(1, '{"code":200,"host":"::1","port":3051}'));
  await settle();
  assert.equal(gate.closedByClient, true);
  return shakeHands("ws://[::1]:3051/");
}

async function inRoom(users = ["ann", "bob"]) {
  const { events, session } = begin();
  const joining = session.join("ann", "r1");
  const socket = await upToEnter();
  socket.serverSends(answer(1, JSON.stringify({ users })));
  await joining;
  events.length = 0;
  return { events, session, socket };
}

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(Math, "random", () => 0.5); // delays without spread
});
afterEach(() => { mock.timers.reset(); mock.restoreAll(); });

test("the gate's answer leads to the connector, and the connector into the room", async () => {
  const { events, session } = begin();
  const joining = session.join("ann", "r1");
  const socket = await upToEnter();
  assert.deepEqual(socket.requests(), [[1, "connector.entryHandler.enter", { username: "ann", rid: "r1" }]]);
  socket.serverSends(answer(1, '{"users":["ann"]}'));
  await joining;
  assert.deepEqual(events, [["onEnter", "r1", ["ann"], false]]);
});

test("what overtakes the answer of enter is told after it", async () => {
  const { events, session } = begin();
  const joining = session.join("ann", "r1");
  const socket = await upToEnter();
  socket.serverSends(push("onAdd", '{"user":"bob"}'), answer(1, '{"users":["ann"]}'), push("onAdd", '{"user":"ann"}'));
  await joining;
  assert.deepEqual(events.map(([name]) => name), ["onEnter", "onUsers", "onJoined"]);
  assert.deepEqual(session.users, ["ann", "bob"]);
});

test("why somebody does not get in: no server, no connector, a taken name, no room", async () => {
  let joining = begin().session.join("ann", "r1");
  FakeSocket.last.serverCloses();
  await assert.rejects(joining, kindIs("unreachable"));

  joining = begin().session.join("ann", "r1");
  (await shakeHands(GATE)).serverSends(answer(1, '{"code":500}'));
  await assert.rejects(joining, kindIs("no-server"));

  for (const [body, kind] of [['{"code":500,"error":true}', "taken"], ['{"code":500}', "refused"], ["null", "refused"]]) {
    joining = begin().session.join("ann", "r1");
    const socket = await upToEnter();
    socket.serverSends(answer(1, body));
    await assert.rejects(joining, kindIs(kind));
    assert.equal(socket.closedByClient, true);
  }
});

test("a room that cannot be switched to because the name is taken there changes nothing", async () => {
  const { events, session, socket } = await inRoom();
  const switching = session.switchRoom("r2");
  socket.serverSends(answer(2, '{"code":500,"error":true}'), push("onAdd", '{"user":"kim"}'));
  await assert.rejects(switching, kindIs("taken"));
  assert.deepEqual([session.room, session.users, session.online], ["r1", ["ann", "bob", "kim"], true]);
  assert.deepEqual(events.map(([name]) => name), ["onUsers", "onJoined"]);
});

test("switching asks on the same connection and takes over the new list", async () => {
  const { events, session, socket } = await inRoom();
  const opened = FakeSocket.all.length;
  const switching = session.switchRoom("r2");
  socket.serverSends(push("onLeave", '{"user":"bob"}'), answer(2, '{"users":["zoe","ann"]}'), push("onAdd", '{"user":"kim"}'));
  await switching;
  assert.deepEqual(events, [
    ["onUsers", ["ann"]], ["onLeft", "bob"], // still the old room's
    ["onEnter", "r2", ["zoe", "ann"], false], ["onUsers", ["zoe", "ann", "kim"]], ["onJoined", "kim"],
  ]);
  assert.deepEqual(session.users, ["zoe", "ann", "kim"]);
  assert.deepEqual([session.room, FakeSocket.all.length], ["r2", opened]);
});

test("two messages that the room refuses at once bring one reconnection, into the same room", async () => {
  const { events, session, socket } = await inRoom();
  const sends = [session.send("a"), session.send("b")];
  socket.serverSends(answer(2, '{"code":500}'), answer(3, '{"code":500}'));
  for (const send of sends) await assert.rejects(send, kindIs("refused"));
  assert.deepEqual(events, [["onReconnecting", 1, 12, 500]]);
  mock.timers.tick(500);
  await settle();
  const again = await upToEnter();
  assert.deepEqual(again.requests()[0][2], { username: "ann", rid: "r1" });
  again.serverSends(answer(1, '{"users":["ann"]}'));
  await settle();
  assert.deepEqual(events.at(-1), ["onEnter", "r1", ["ann"], true]);
});

test("a whisper that is refused is told and changes nothing", async () => {
  const { events, session, socket } = await inRoom();
  const whisper = session.send("psst", "bob");
  assert.equal(socket.requests()[1][2].target, "bob");
  socket.serverSends(answer(2, '{"code":500}'));
  await assert.rejects(whisper, kindIs("refused"));
  assert.deepEqual([events, session.online], [[], true]);
});

test("reconnecting grows slower, can be hurried, and ends", async () => {
  const { events, socket } = await inRoom();
  socket.serverCloses();
  for (let attempt = 1; attempt <= 12; attempt++) {
    const [name, number, , delayMs] = events.at(-1);
    assert.deepEqual([name, number], ["onReconnecting", attempt]);
    assert.equal(delayMs, Math.min(15_000, 500 * 2 ** (attempt - 1)));
    mock.timers.tick(delayMs);
    await settle();
    FakeSocket.last.serverCloses();
    await settle();
  }
  assert.deepEqual(events.at(-1).slice(0, 2), ["onEnd", "gone"]);
  assert.equal(events.length, 13);
});

test("a hurried reconnection does not wait, and leaving stops it", async () => {
  const { events, session, socket } = await inRoom();
  socket.serverCloses();
  const opened = FakeSocket.all.length;
  session.retryNow();
  await settle();
  assert.equal(FakeSocket.all.length, opened + 1);
  FakeSocket.last.serverCloses();
  await settle();
  session.leave();
  mock.timers.tick(60_000);
  await settle();
  assert.equal(FakeSocket.all.length, opened + 1);
  assert.deepEqual(events.map(([name]) => name), ["onReconnecting", "onReconnecting"]);
});

test("whoever is kicked stays out", async () => {
  const { events, session, socket } = await inRoom();
  const opened = FakeSocket.all.length;
  socket.serverSends([PackageType.KICK, '{"reason":"be nice"}']);
  mock.timers.tick(60_000);
  await settle();
  assert.deepEqual(events, [["onEnd", "kicked", "be nice"]]);
  assert.deepEqual([session.online, FakeSocket.all.length], [false, opened]);
});
