/** The cases that tests/tests/conformance.rs puts to every language. */
import { app, Channel, Failure, pick, plugin, rpc } from "shaddock-sdk";

export const { handler, remote, router, lifecycle, timer } = plugin({
  routes: {
    "connector.caseHandler.enter": enter,
    "connector.caseHandler.relay": relay,
    "conform.caseHandler.where": () => ({ server: app.ownServer().id }),
    "conform.caseHandler.join": (_, session) => void new Channel("all").join(session.member()),
    "conform.caseHandler.echo": (message) => message,
    "conform.caseHandler.ids": ({ id }) => ({ id, text: String(id) }),
    "conform.caseHandler.note": (message) => new Channel("all").push("onNote", message),
    "conform.caseHandler.fields": ({ maybe }) => ({ maybe: maybe ?? null }),
    "conform.caseHandler.size": ({ text }) => ({ chars: [...text].length }),
    "conform.caseHandler.big": ({ chars }) => ({ text: "x".repeat(chars) }),
    "conform.caseHandler.fail": fail,
    "conform.caseHandler.crash": ({ text }) => {
      throw new Error(text);
    },
    "conform.caseHandler.odd": ({ text }) => {
      throw text;
    },
    "conform.caseHandler.wrong": () => {
      const circle = {};
      circle.circle = circle;
      return circle;
    },
    "conform.caseHandler.spin": () => {
      for (;;);
    },
    "conform.caseHandler.recurse": () => ({ depth: deeper(0) }),
    "conform.caseHandler.print": ({ text }) => console.log(`${text} \0\x1b[31m\ud800\nforged`),
    "conform.caseHandler.chance": () => ({ number: Math.random() }),
  },
  remotes: { "conform.caseRemote.echo": (args) => args, "conform.caseRemote.fail": fail },
  routers: { conform: route },
});

/** Notes where to go. */
function enter({ name, to }, session) {
  session.bind(name);
  session.set("to", to);
  session.push();
  return { name };
}

/** Calls a remote, and answers what became of it. */
function relay({ method, args }) {
  try {
    return { answer: rpc.call("conform", "relay", `caseRemote.${method}`, args) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { code: error.code, message: error.message };
  }
}

function fail({ code, message }) {
  throw new Failure(code, message);
}

function route(key, servers) {
  const to = key.text("to");
  if (to === "nowhere") throw new Failure(418, "no such way");
  return pick(to, servers);
}

function deeper(depth) {
  return 1 + deeper(depth + 1);
}
