// The chat application with the chat page's own client, in node.
// usage: node shaddock-client.mjs GATE_PORT [--expect-kick]
import WebSocket from "ws";
import { connect as connectTo } from "../../../plugins/chat/web/shaddock.js";
import { chatFlow } from "./chat-flow.mjs";
import { Inbox, portArgument, run } from "./steps.mjs";

/** Dictionary and schemas, so that later connections have to use what earlier ones learned. */
const stored = new Map();
const cache = { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, value) };

/** @param {number} port @param {string} [host] */
async function connect(port, host = "127.0.0.1") {
  const client = await connectTo(`ws://${host}:${port}/`, { WebSocket, cache, requestTimeoutMs: 10_000 });
  const inbox = new Inbox();
  client.on("push", ({ route, body }) => inbox.add([route, body]));
  client.on("kick", ({ reason }) => inbox.add(["(kick)", reason]));
  client.on("error", (error) => inbox.add(["(error)", error.message]));
  const closed = new Promise((resolve) => client.on("close", resolve));
  return { inbox, closed, close: () => client.close(), request: (route, body) => client.request(route, body) };
}

const gatePort = portArgument(process.argv[2], "node shaddock-client.mjs GATE_PORT [--expect-kick]");
await run(() => chatFlow(connect, gatePort, {
  label: "shaddock", emoji: true, expectKick: process.argv.includes("--expect-kick"),
}));
