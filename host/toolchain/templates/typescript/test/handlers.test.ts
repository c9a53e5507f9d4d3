import assert from "node:assert/strict";
import test from "node:test";
import { Host } from "shaddock-sdk/testing";
import * as handlers from "../handlers.ts";

const ROUTE = "connector.helloHandler.greet";

test("a client is greeted, and its visits are counted", () => {
  const host = new Host(handlers, { settings: { greeting: "Hello" } });
  const session = host.session();
  assert.deepEqual(host.request(ROUTE, { name: "Ada" }, session), { text: "Hello, Ada!", visits: 1 });
  assert.deepEqual(host.request(ROUTE, { name: "Ada" }, session), { text: "Hello, Ada!", visits: 2 });
  assert.deepEqual(host.pushes[1], { to: { session: 1 }, route: "onGreet", body: { visits: 2 } });
  assert.equal(host.log[0]?.message, "Ada came 1 times");
});

test("a client without a name is refused", () => {
  const host = new Host(handlers);
  assert.throws(() => host.request(ROUTE, { name: "" }, host.session()), { code: 400 });
});
