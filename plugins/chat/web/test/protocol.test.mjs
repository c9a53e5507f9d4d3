// The codec against bytes of real pomelo servers and clients.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  MessageType, PackageType, ShaddockError,
  decodeMessage, decodeText, encodeMessage, encodePackage, encodeText, splitPackages,
} from "../wire.js";
import { decodeBody, encodeBody } from "../protobuf.js";

const golden = (name) => JSON.parse(readFileSync(new URL(`../../../../tests/golden/${name}`, import.meta.url), "utf8"));
const chat = golden("chat-websocket.json");
const lab = golden("lab.json");
const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (array) => Buffer.from(array).toString("hex");
const scenario = (name) => [...chat, ...lab].find((entry) => entry.scenario === name).steps;
const packages = (step) => [...splitPackages(bytes(step.hex))];
const codeIs = (code) => (error) => error instanceof ShaddockError && error.code === code;

/** The `sys` of the first full handshake reply in a scenario. */
function handshakeSys(name) {
  for (const step of scenario(name)) {
    if (step.dir !== "S" || !step.text?.startsWith("HANDSHAKE")) continue;
    const { sys } = JSON.parse(decodeText(packages(step)[0].body));
    if (sys.protos) return sys;
  }
  throw new Error(`no full handshake in ${name}`);
}

test("every captured server frame splits into packages that encode back to the same bytes", () => {
  let seen = 0;
  for (const step of [...chat, ...lab].flatMap((entry) => entry.steps)) {
    if (step.dir !== "S" || !step.hex) continue;
    const back = packages(step).map(({ type, body }) => hex(encodePackage(type, body))).join("");
    assert.equal(back, step.hex);
    seen++;
  }
  assert.ok(seen > 100, `only ${seen} server steps found`);
});

test("every request and notify of the chat capture encodes back to the same bytes", () => {
  let seen = 0;
  for (const step of chat.flatMap((entry) => entry.steps)) {
    if (step.dir !== "C" || !step.text?.startsWith("DATA")) continue;
    const { id, route, body } = decodeMessage(packages(step)[0].body);
    const message = typeof route === "number"
      ? encodeMessage(id, "not used", route, body)
      : encodeMessage(id, route, undefined, body);
    assert.equal(hex(encodePackage(PackageType.DATA, message)), step.hex, step.text);
    seen++;
  }
  assert.equal(seen, 19);
});

test("a request is built from its parts exactly as the original client builds it", () => {
  const request = encodeMessage(1, "gate.gateHandler.queryEntry", undefined, encodeText('{"uid":"alice"}'));
  const captured = scenario("chat/gate-query").find((step) => step.text?.startsWith("DATA REQ")).hex;
  assert.equal(hex(encodePackage(PackageType.DATA, request)), captured);
});

test("answers, pushes and the kick decode to what the capture says", () => {
  const sys = handshakeSys("chat/alice-enters");
  const found = { answers: 0, pushes: 0, kicks: 0 };
  for (const step of chat.flatMap((entry) => entry.steps)) {
    if (step.dir !== "S" || !step.hex) continue;
    const [{ type, body }] = packages(step);
    if (type === PackageType.KICK) {
      assert.deepEqual(JSON.parse(decodeText(body)), { reason: "admin kick" });
      found.kicks++;
    }
    if (type !== PackageType.DATA) continue;
    const message = decodeMessage(body);
    const [, kind, head, rest] = step.text.match(/^DATA (RESP|PUSH) (\S+) (.*)$/s);
    if (kind === "RESP") {
      assert.equal(message.type, MessageType.RESPONSE);
      assert.equal(`#${message.id}`, head);
      assert.deepEqual(JSON.parse(decodeText(message.body)), JSON.parse(rest));
      found.answers++;
    } else {
      assert.equal(message.type, MessageType.PUSH);
      assert.equal(message.route, head);
      if (head !== "onChat") assert.deepEqual(JSON.parse(decodeText(message.body)), JSON.parse(rest));
      else assert.ok(decodeBody(sys.protos.server, head, message.body).msg.length > 0);
      found.pushes++;
    }
  }
  assert.ok(found.answers > 15 && found.pushes > 8 && found.kicks === 1, JSON.stringify(found));
});

test("an emoji in a captured protobuf push is read as one character", () => {
  const { server } = handshakeSys("chat/alice-enters").protos;
  const step = scenario("chat/send-all").find(({ text }) => text?.startsWith("DATA PUSH onChat"));
  const { route, body } = decodeMessage(packages(step)[0].body);
  const message = { msg: "hello 中文 😀", from: "alice", target: "*" };
  assert.deepEqual(decodeBody(server, route, body), message);
  assert.equal(hex(encodeBody(server, route, message)), hex(body));
});

test("protobuf of all types: the captured bodies encode to the captured bytes and decode back", () => {
  const route = "connector.protoHandler.all";
  const { client, server } = handshakeSys("lab/handshake-ok").protos;
  const steps = scenario("lab/proto-all");
  let seen = 0;
  for (const [index, { note }] of steps.entries()) {
    if (!note?.startsWith("body ")) continue;
    const body = JSON.parse(note.slice("body ".length));
    const request = decodeMessage(packages(steps[index + 1])[0].body);
    const answer = decodeMessage(packages(steps[index + 2])[0].body);
    assert.equal(hex(encodeBody(client, route, body)), hex(request.body), note);
    const decoded = decodeBody(server, route, answer.body);
    // An empty array is not sent, a float has 24 bits.
    for (const inner of body.inners ?? []) if (inner.v.length === 0) delete inner.v;
    if (body.f !== undefined) body.f = Math.fround(body.f);
    assert.deepEqual(decoded, body, note);
    seen++;
  }
  assert.equal(seen, 4);
});

test("an answer without the fields its schema wants has an empty body, which decodes to an empty object", () => {
  const { server } = handshakeSys("lab/handshake-ok").protos;
  const step = scenario("lab/proto-missing-required").find(({ text }) => text?.startsWith("DATA RESP"));
  const { body } = decodeMessage(packages(step)[0].body);
  assert.equal(body.length, 0);
  assert.deepEqual(decodeBody(server, "connector.protoHandler.bad", body), {});
});

const field = (option, type, tag) => ({ option, type, tag });
const schemas = {
  r: {
    n: field("required", "uInt32", 1), i: field("optional", "int32", 2), s: field("optional", "string", 3),
    list: field("repeated", "sInt32", 4), self: field("optional", "Node", 5),
    __messages: {}, __tags: { 1: "n", 2: "i", 3: "s", 4: "list", 5: "self" },
  },
  "message Node": { next: field("optional", "Node", 1), __messages: {}, __tags: { 1: "next" } },
};

test("protobuf numbers survive up to 53 bits; empty arrays and unknown keys are left out", () => {
  for (const body of [
    { n: Number.MAX_SAFE_INTEGER, i: -(2 ** 52) }, { n: 0, i: 2 ** 52 - 1 }, { n: 127 }, { n: 128 },
    { n: 1, list: [0, -1, 1, -64, 64, 2 ** 31 - 1, -(2 ** 31)] }, { n: 1, s: "" }, { n: 1, self: { next: { next: {} } } },
  ]) assert.deepEqual(decodeBody(schemas, "r", encodeBody(schemas, "r", body)), body);
  assert.deepEqual(decodeBody(schemas, "r", encodeBody(schemas, "r", { n: 1.9, list: [], no: 1, s: null, __tags: 1 })), { n: 1 });
});

test("a body that does not fit its schema is refused with the field's name", () => {
  const cases = [
    [{}, /r\.n: is required/], [{ n: "1" }, /r\.n: must be a number/], [{ n: -1 }, /r\.n/], [{ n: NaN }, /r\.n/],
    [{ n: 1, s: 5 }, /r\.s: must be a string/], [{ n: 1, list: 5 }, /r\.list: must be an array/],
    [{ n: 1, list: [1, "x"] }, /r\.list/], [{ n: 1, self: 3 }, /r\.self: must be an object/], [null, /must be an object/],
  ];
  for (const [body, message] of cases) {
    assert.throws(() => encodeBody(schemas, "r", body), (error) => codeIs("encode")(error) && message.test(error.message));
  }
});

test("protobuf bytes that are cut off, oversized or unknown are refused", () => {
  for (const bad of [
    "08", "08ff", "7801", "1a05", "1a0261", "20ffffff7f", "2003", `08${"80".repeat(200)}00`, "08ffffffffffffffff7f", "2a05", "2a020a05",
  ]) assert.throws(() => decodeBody(schemas, "r", bytes(bad)), codeIs("decode"), bad);
  const deep = [];
  for (let i = 0; i < 60; i++) deep.unshift(0x0a, deep.length);
  assert.throws(() => decodeBody(schemas, "r", Uint8Array.from([0x2a, ...encodeLength(deep.length), ...deep])), codeIs("decode"));
});

const encodeLength = (n) => (n > 127 ? [n % 128 + 128, n >> 7] : [n]);

test("packages and messages that are cut off or unknown are refused", () => {
  for (const bad of ["04", "040000", "04000001", "0000000061", "06000000", "0300000004000002aa"]) {
    assert.throws(() => [...splitPackages(bytes(bad))], codeIs("decode"), bad);
  }
  for (const bad of ["", "04", "0480", `04${"80".repeat(200)}00`, "04ffffffff7f", "06", "0605616263", "0700", "0a"]) {
    assert.throws(() => decodeMessage(bytes(bad)), codeIs("decode"), bad);
  }
  assert.throws(() => encodeMessage(1, "", undefined, bytes("")), codeIs("encode"));
  assert.throws(() => encodeMessage(1, "é".repeat(128), undefined, bytes("")), codeIs("encode"));
  assert.throws(() => encodePackage(PackageType.DATA, new Uint8Array(1 << 24)), codeIs("encode"));
});

test("request ids keep their value over the whole range", () => {
  for (const id of [1, 127, 128, 16383, 16384, 2 ** 31 - 1]) {
    const message = decodeMessage(encodeMessage(id, "a.b.c", undefined, bytes("00")));
    assert.deepEqual([message.type, message.id, message.route, message.body.length], [MessageType.REQUEST, id, "a.b.c", 1]);
  }
  assert.equal(decodeMessage(encodeMessage(0, "a.b.c", 258, bytes(""))).type, MessageType.NOTIFY);
  assert.equal(decodeMessage(encodeMessage(0, "a.b.c", 258, bytes(""))).route, 258);
});
