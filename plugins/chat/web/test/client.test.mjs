// How the client behaves over time, against a WebSocket made here and a clock moved by hand.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { ShaddockError, connect } from "../shaddock.js";
import { PackageType, decodeText } from "../wire.js";
import { FakeSocket, answer, push, settle } from "./fake-socket.mjs";

const { HANDSHAKE, HANDSHAKE_ACK, HEARTBEAT, DATA, KICK } = PackageType;
const codeIs = (code) => (error) => error instanceof ShaddockError && error.code === code;

/** A client that has shaken hands. */
async function connected(sys = {}, options = {}, extra = {}) {
  const connecting = connect("ws://fake/", { WebSocket: FakeSocket, ...options });
  const socket = FakeSocket.last;
  socket.serverOpens();
  socket.serverSends([HANDSHAKE, JSON.stringify({ code: 200, sys, ...extra })]);
  return { client: await connecting, socket };
}

/** What a promise settled to, without waiting for it. */
function watch(promise) {
  const seen = {};
  promise.then((value) => { seen.value = value; }, (error) => { seen.error = error; });
  return seen;
}

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

test("the handshake names the client, is acknowledged, and brings the hook's answer", async () => {
  const { client, socket } = await connected({}, { user: { token: "t" } }, { user: { hello: "ann" } });
  assert.deepEqual(socket.types(), [HANDSHAKE, HANDSHAKE_ACK]);
  const sent = JSON.parse(decodeText(socket.sent[0].body));
  assert.equal(sent.sys.type, "shaddock-js");
  assert.deepEqual(sent.user, { token: "t" });
  assert.deepEqual(client.user, { hello: "ann" });
  assert.equal(client.open, true);
});

test("a refused handshake rejects with the server's code", async () => {
  for (const code of [500, 501]) {
    const connecting = connect("ws://fake/", { WebSocket: FakeSocket });
    FakeSocket.last.serverOpens();
    FakeSocket.last.serverSends([HANDSHAKE, JSON.stringify({ code })]);
    await assert.rejects(connecting, (error) => codeIs("handshake")(error) && error.status === code);
    assert.equal(FakeSocket.last.closedByClient, true);
  }
});

test("connect rejects when nobody is there, on silence, on junk, and on a bad URL", async () => {
  let connecting = connect("ws://fake/", { WebSocket: FakeSocket });
  FakeSocket.last.serverCloses();
  await assert.rejects(connecting, codeIs("unreachable"));

  connecting = connect("ws://fake/", { WebSocket: FakeSocket, connectTimeoutMs: 500 });
  FakeSocket.last.serverOpens();
  mock.timers.tick(500);
  await assert.rejects(connecting, codeIs("timeout"));
  assert.equal(FakeSocket.last.closedByClient, true);

  for (const body of ["no json", "null", '{"code":200,"sys":{"useDict":true}}']) {
    connecting = connect("ws://fake/", { WebSocket: FakeSocket });
    FakeSocket.last.serverOpens();
    FakeSocket.last.serverSends([HANDSHAKE, body]);
    await assert.rejects(connecting, codeIs("handshake"));
  }
  await assert.rejects(connect("bad", { WebSocket: FakeSocket }), codeIs("unreachable"));
});

test("answers find their requests in any order, several in one frame", async () => {
  const { client, socket } = await connected();
  const first = client.request("a.b.c", { n: 1 });
  const second = client.request("a.b.d");
  const [one, two] = socket.messages();
  assert.deepEqual([one.id, one.route, decodeText(one.body)], [1, "a.b.c", '{"n":1}']);
  assert.deepEqual([two.id, decodeText(two.body)], [2, "{}"]);
  socket.serverSends(answer(2, '{"code":500}'), answer(1, "[1]"));
  assert.deepEqual(await first, [1]);
  assert.deepEqual(await second, { code: 500 });
});

test("onAnswer is called before a push of the same frame is told", async () => {
  const { client, socket } = await connected();
  const order = [];
  client.on("onChat", () => order.push("push"));
  const asked = client.request("a.b.c", {}, { onAnswer: (body) => order.push(body) });
  asked.then(() => order.push("promise"));
  socket.serverSends(answer(1, "1"), push("onChat", "{}"));
  await settle();
  assert.deepEqual(order, [1, "push", "promise"]);
});

test("a request times out; its late answer disturbs nobody", async () => {
  const { client, socket } = await connected();
  const late = watch(client.request("a.b.c", {}, { timeoutMs: 50 }));
  const patient = watch(client.request("a.b.d", {}, { timeoutMs: 0 }));
  mock.timers.tick(49);
  await settle();
  assert.deepEqual(late, {});
  mock.timers.tick(1);
  await settle();
  assert.ok(codeIs("timeout")(late.error));
  socket.serverSends(answer(1, "1"));
  mock.timers.tick(1e6);
  socket.serverSends(answer(2, "2"));
  await settle();
  assert.deepEqual([patient.value, client.open], [2, true]);
});

test("limits refuse at once and leave the waiting requests alone", async () => {
  const { client, socket } = await connected({}, { pendingMax: 2, bufferedBytesMax: 10 });
  const waiting = client.request("a.b.c");
  client.request("a.b.c").catch(() => {});
  await assert.rejects(client.request("a.b.c"), codeIs("busy"));
  assert.equal(socket.messages().length, 2);
  socket.bufferedAmount = 11;
  assert.throws(() => client.notify("a.b.c"), codeIs("busy"));
  socket.serverSends(answer(1, "true"));
  assert.equal(await waiting, true);
});

test("a closed connection rejects what waits and all that follows, and tells it once", async () => {
  const { client, socket } = await connected();
  const closes = [];
  client.on("close", (info) => closes.push(info));
  const waiting = client.request("a.b.c");
  socket.serverCloses(1001);
  await assert.rejects(waiting, codeIs("closed"));
  await assert.rejects(client.request("a.b.c"), codeIs("closed"));
  assert.throws(() => client.notify("a.b.c"), codeIs("closed"));
  client.close();
  assert.deepEqual(closes, [{ cause: "lost", code: 1001, reason: "" }]);
});

test("close() ends the connection with the cause local", async () => {
  const { client, socket } = await connected({ heartbeat: 1 });
  const closes = [];
  client.on("close", ({ cause }) => closes.push(cause));
  client.close();
  socket.serverSends(push("onChat", "{}"));
  mock.timers.tick(10_000);
  assert.deepEqual([closes, socket.closedByClient, client.open], [["local"], true, false]);
  assert.deepEqual(socket.types(), [HANDSHAKE, HANDSHAKE_ACK]);
});

test("a kick is told with its reason, then the close", async () => {
  const { client, socket } = await connected();
  const events = [];
  client.on("kick", ({ reason }) => events.push(`kick ${reason}`));
  client.on("close", ({ cause, reason }) => events.push(`close ${cause} ${reason}`));
  socket.serverSends([KICK, '{"reason":"admin"}']);
  socket.serverCloses(1000);
  assert.deepEqual(events, ["kick admin", "close kick admin"]);
});

test("each heartbeat is answered one interval later, never at once", async () => {
  const { socket } = await connected({ heartbeat: 3 });
  const beats = () => socket.types().filter((type) => type === HEARTBEAT).length;
  socket.serverSends([HEARTBEAT]);
  assert.equal(beats(), 0);
  mock.timers.tick(2999);
  assert.equal(beats(), 0);
  mock.timers.tick(1);
  assert.equal(beats(), 1);
  socket.serverSends([HEARTBEAT]);
  mock.timers.tick(3000);
  assert.equal(beats(), 2);
});

test("two heartbeats of silence end the connection; any package counts as a sign of life", async () => {
  const { client, socket } = await connected({ heartbeat: 3 });
  const causes = [];
  client.on("close", ({ cause }) => causes.push(cause));
  for (let i = 0; i < 5; i++) {
    mock.timers.tick(5000);
    socket.serverSends(push("onTick", "{}"));
  }
  assert.deepEqual(causes, []);
  mock.timers.tick(5999);
  assert.deepEqual(causes, []);
  mock.timers.tick(1);
  assert.deepEqual([causes, socket.closedByClient], [["heartbeat"], true]);
});

test("a server without heartbeat may be silent for ever", async () => {
  const { client, socket } = await connected();
  socket.serverSends([HEARTBEAT]);
  mock.timers.tick(1e9);
  assert.deepEqual([client.open, socket.types()], [true, [HANDSHAKE, HANDSHAKE_ACK]]);
});

const schema = { msg: { option: "required", type: "string", tag: 1 }, __messages: {}, __tags: { 1: "msg" } };
const SYS = {
  useDict: true, dict: { "a.b.c": 1, onSay: 300 }, dictVersion: "d1",
  useProto: true, protos: { client: { "a.b.p": schema }, server: { onSay: schema, "a.b.p": schema }, version: "p1" },
};

test("dictionary and schemas are used in both directions", async () => {
  const { client, socket } = await connected(SYS);
  const said = [];
  client.on("onSay", (body) => said.push(body));
  socket.serverSends([DATA, Buffer.from([7, 1, 44, 0x0a, 2, 0x68, 0x69])]);
  assert.deepEqual(said, [{ msg: "hi" }]);
  client.notify("a.b.c", { x: 1 });
  const asked = client.request("a.b.p", { msg: "é" });
  const [notify, request] = socket.messages();
  assert.deepEqual([notify.route, decodeText(notify.body)], [1, '{"x":1}']);
  assert.deepEqual([request.route, [...request.body]], ["a.b.p", [0x0a, 2, 0xc3, 0xa9]]);
  socket.serverSends([DATA, Buffer.from([4, request.id, 0x0a, 1, 0x79])]);
  assert.deepEqual(await asked, { msg: "y" });
  await assert.rejects(client.request("a.b.p", { msg: 1 }), codeIs("encode"));
});

test("with a cache the versions are sent, and what the server leaves out is remembered", async () => {
  const stored = new Map();
  const cache = { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, value) };
  await connected(SYS, { cache });
  const { client, socket } = await connected({ useDict: true, useProto: true }, { cache });
  const { sys } = JSON.parse(decodeText(socket.sent[0].body));
  assert.deepEqual([sys.dictVersion, sys.protoVersion], ["d1", "p1"]);
  client.notify("a.b.c");
  assert.equal(socket.messages()[0].route, 1);

  for (const key of stored.keys()) stored.set(key, "{broken");
  cache.setItem = () => { throw new Error("full"); };
  const { client: other, socket: otherSocket } = await connected(SYS, { cache });
  other.notify("a.b.c");
  assert.equal(otherSocket.messages()[0].route, 1);
});

test("listeners come and go; one that throws does not silence the next; a push cannot fake an event", async () => {
  const { client, socket } = await connected();
  const heard = [];
  const report = mock.method(console, "error", () => {});
  client.on("onChat", () => { throw new Error("listener"); });
  const stop = client.on("onChat", (body) => heard.push(body.n));
  client.on("close", () => heard.push("close"));
  client.on("push", ({ route }) => heard.push(route));
  socket.serverSends(push("onChat", '{"n":1}'), push("close", "{}"));
  stop();
  socket.serverSends(push("onChat", '{"n":2}'));
  assert.deepEqual(heard, ["onChat", 1, "close", "onChat"]);
  assert.equal(client.open, true);
  assert.deepEqual(report.mock.calls.map((call) => call.arguments[0].message), ["listener", "listener"]);
});

test("what cannot be read is told: an answer to its request, a push to error, a broken package by closing", async () => {
  const { client, socket } = await connected(SYS);
  const events = [];
  client.on("error", (error) => events.push(error.code));
  client.on("close", ({ cause }) => events.push(cause));
  const asked = client.request("a.b.c");
  socket.serverSends(answer(1, "{broken"), push("onSay", "x"), [DATA, Buffer.from([7, 9, 9])]);
  await assert.rejects(asked, codeIs("decode"));
  assert.deepEqual(events, ["decode", "decode"]);
  socket.dispatchEvent(Object.assign(new Event("message"), { data: Uint8Array.from([9, 0, 0, 0]).buffer }));
  assert.deepEqual(events, ["decode", "decode", "protocol"]);
});
