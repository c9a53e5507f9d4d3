/** The cases that tests/tests/conformance.rs puts to every language. */
import { app, Channel, Failure, pick, plugin, RouteKey, rpc, Server, Session } from "shaddock-sdk";

type Failing = { code: number; message: string };
type Circle = { circle?: Circle };

export const { handler, remote, router, lifecycle, timer } = plugin({
  routes: {
    "connector.caseHandler.enter": enter,
    "connector.caseHandler.relay": relay,
    "conform.caseHandler.where": () => ({ server: app.ownServer().id }),
    "conform.caseHandler.join": (_, session) => void new Channel("all").join(session.member()),
    "conform.caseHandler.echo": (message: unknown) => message,
    "conform.caseHandler.ids": ({ id }: { id: number }) => ({ id, text: String(id) }),
    "conform.caseHandler.note": (message: unknown) => new Channel("all").push("onNote", message),
    "conform.caseHandler.fields": ({ maybe }: { maybe?: string | null }) => ({ maybe: maybe ?? null }),
    "conform.caseHandler.size": ({ text }: { text: string }) => ({ chars: [...text].length }),
    "conform.caseHandler.big": ({ chars }: { chars: number }) => ({ text: "x".repeat(chars) }),
    "conform.caseHandler.fail": fail,
    "conform.caseHandler.crash": ({ text }: { text: string }) => {
      throw new TypeError(text);
    },
    "conform.caseHandler.odd": ({ text }: { text: string }) => {
      throw { toString: () => text };
    },
    "conform.caseHandler.wrong": () => {
      const circle: Circle = {};
      circle.circle = circle;
      return circle;
    },
    "conform.caseHandler.spin": () => {
      for (;;);
    },
    "conform.caseHandler.recurse": () => ({ depth: deeper(0) }),
    "conform.caseHandler.print": ({ text }: { text: string }) => console.log(`${text} \0\x1b[31m\ud800\nforged`),
    "conform.caseHandler.chance": () => ({ number: Math.random() }),
  },
  remotes: { "conform.caseRemote.echo": (args: unknown) => args, "conform.caseRemote.fail": fail },
  routers: { conform: route },
});

/** Notes where to go. */
function enter({ name, to }: { name: string; to: string }, session: Session) {
  session.bind(name);
  session.set("to", to);
  session.push();
  return { name };
}

/** Calls a remote, and answers what became of it. */
function relay({ method, args }: { method: string; args: unknown }) {
  try {
    return { answer: rpc.call("conform", "relay", `caseRemote.${method}`, args) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { code: error.code, message: error.message };
  }
}

function fail({ code, message }: Failing): never {
  throw new Failure(code, message);
}

function route(key: RouteKey, servers: Server[]) {
  const to = key.text("to");
  if (to === "nowhere") throw new Failure(418, "no such way");
  return pick(to, servers);
}

function deeper(depth: number): number {
  return 1 + deeper(depth + 1);
}
