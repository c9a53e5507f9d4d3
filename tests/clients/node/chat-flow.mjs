// The life of the chat application, for any client: given `connect`, which gives
// {request(route, body), close(), inbox} where pushes arrive in the inbox as [route, body] and kicks as
// ["(kick)", reason or null].
import { expectEqual, step } from "./steps.mjs";

const ENTER = "connector.entryHandler.enter";
const SEND = "chat.chatHandler.send";

/**
 * @param connect (port) => client that has shaken hands
 * @param gatePort
 * @param options {label, emoji: whether the client reads emoji, expectKick}
 */
export async function chatFlow(connect, gatePort, { label, emoji, expectKick }) {
  const rid = `${label}-${process.pid}`;
  const text = `hello 中文${emoji ? " 😀" : ""}`;

  const enter = async (name) => {
    const gate = await connect(gatePort);
    const entry = await gate.request("gate.gateHandler.queryEntry", { uid: name });
    gate.close();
    expectEqual([entry.code, typeof entry.host, typeof entry.port], [200, "string", "number"], "the gate's answer");
    const client = await connect(entry.port, entry.host);
    return { client, answer: await client.request(ENTER, { username: name, rid }) };
  };
  const say = (client, from, content, target) => client.request(SEND, { rid, content, from, target });
  const expectPush = async (client, who, expected) => {
    expectEqual(await client.inbox.next(`push ${expected[0]} to ${who}`), expected, `push to ${who}`);
  };

  const alice = await step("alice-enters", async () => {
    const { client, answer } = await enter("alice");
    expectEqual(answer, { users: ["alice"] }, "the answer to alice");
    return client;
  });
  const bob = await step("bob-enters", async () => {
    const { client, answer } = await enter("bob");
    expectEqual([...answer.users].sort(), ["alice", "bob"], "the users that bob gets");
    await expectPush(alice, "alice", ["onAdd", { route: "onAdd", user: "bob" }]);
    return client;
  });
  await step("duplicate-name-is-refused", async () => {
    const { client, answer } = await enter("alice");
    expectEqual(answer, { code: 500, error: true }, "the answer to the second alice");
    client.close();
  });
  await step("chat-to-all", async () => {
    expectEqual(await say(alice, "alice", text, "*"), {}, "the answer to alice");
    const expected = ["onChat", { msg: text, from: "alice", target: "*" }];
    await expectPush(alice, "alice", expected);
    await expectPush(bob, "bob", expected);
  });
  await step("whisper", async () => {
    expectEqual(await say(bob, "bob", "psst", "alice"), {}, "the answer to bob");
    await expectPush(alice, "alice", ["onChat", { msg: "psst", from: "bob", target: "alice" }]);
    // What is said to all afterwards comes next, so the whisper reached nobody else.
    await say(bob, "bob", "marker", "*");
    await expectPush(bob, "bob", ["onChat", { msg: "marker", from: "bob", target: "*" }]);
    await expectPush(alice, "alice", ["onChat", { msg: "marker", from: "bob", target: "*" }]);
  });
  await step("errors-are-answered", async () => {
    expectEqual(await say(alice, "alice", "x", "nobody"), { code: 500 }, "the answer for an unknown target");
    expectEqual(await alice.request("chat.chatHandler.nope", {}), { code: 500 }, "the answer for an unknown route");
  });
  await step("leave", async () => {
    bob.close();
    await expectPush(alice, "alice", ["onLeave", { route: "onLeave", user: "bob" }]);
  });
  if (expectKick) {
    await step("kick", async () => {
      const { client: carol } = await enter("carol");
      await expectPush(alice, "alice", ["onAdd", { route: "onAdd", user: "carol" }]);
      console.log(`ready-for-kick carol*${rid}`);
      const [event] = await carol.inbox.next("the kick");
      expectEqual(event, "(kick)", "what carol gets");
      await carol.closed;
      await expectPush(alice, "alice", ["onLeave", { route: "onLeave", user: "carol" }]);
    });
  }
  expectEqual([alice.inbox.size, bob.inbox.size], [0, 0], "pushes that nobody expected");
  alice.close();
}
