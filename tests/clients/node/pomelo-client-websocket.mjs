// The chat application with the npm package pomelo-client-websocket, which knows nothing of Shaddock.
// usage: node pomelo-client-websocket.mjs GATE_PORT [--expect-kick]
// With --expect-kick it prints "ready-for-kick UID" and expects that user to be kicked within 10 s.
import { createRequire } from "node:module";
import { chatFlow } from "./chat-flow.mjs";
import { Inbox, portArgument, run, within } from "./steps.mjs";

const Pomelo = createRequire(import.meta.url)("pomelo-client-websocket");

/** @param {number} port @param {string} [host] */
async function connect(port, host = "127.0.0.1") {
  const pomelo = new Pomelo();
  const inbox = new Inbox();
  const closed = new Promise((resolve) => pomelo.on("close", resolve));
  const failed = new Promise((_, reject) => {
    for (const event of ["error", "io-error", "close"]) {
      pomelo.on(event, (detail) => reject(new Error(`${event} ${detail?.message ?? detail?.code ?? detail}`)));
    }
  });
  failed.catch(() => {}); // after the handshake a close is no failure
  pomelo.on("__CLIENT_ROUTE", (route, body) => inbox.add([route, body]));
  pomelo.on("onKick", () => inbox.add(["(kick)", null]));
  const ready = new Promise((resolve) => pomelo.init({ host, port }, resolve));
  await within(Promise.race([ready, failed]), `handshake with ${host}:${port}`);
  return {
    inbox,
    closed: within(closed, "the close", 60_000).catch(() => {}),
    close: () => pomelo.disconnect(),
    request: (route, body) => within(
      Promise.race([new Promise((resolve) => pomelo.request(route, body, resolve)), failed]), `answer to ${route}`,
    ),
  };
}

const gatePort = portArgument(process.argv[2], "node pomelo-client-websocket.mjs GATE_PORT [--expect-kick]");
await run(() => chatFlow(connect, gatePort, {
  label: "npm", emoji: true, expectKick: process.argv.includes("--expect-kick"),
}));
