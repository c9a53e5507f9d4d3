/**
 * A host for unit tests, which run under Node.js: `shaddock test` bundles a test with it in the place of the server.
 *
 * It behaves as a server with one frontend does: sessions keep their users and settings, channels their members, and whatever
 * the plugin sends, calls, sets and logs is kept to be looked at. A call that has no answer prepared fails with 404.
 */
import type { RawFailure, RawSession } from "shaddock:plugin/types@0.1.0";
import { Failure, Session } from "./shaddock.ts";
import { type Call, FRONTEND, type Host as State, type Push, type Timer, begin } from "./testing-host.ts";

export { FRONTEND };
export type { Call, Push, Timer };

/** The exports of a module with a plugin: `import * as handlers from "../handlers.js"`. */
export interface Exports {
  handler: { handle(route: string, body: Uint8Array, session: RawSession): Uint8Array };
  remote: { call(method: string, args: Uint8Array): Uint8Array };
  lifecycle: { init(settings: string): void };
  timer: { fired(name: string, id: number, payload: Uint8Array): void };
}

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value ?? null));
const decode = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));

/** What a plugin throws at its host, as its caller sees it. */
function outcome<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    const { code, message, retryable } = thrown as RawFailure;
    throw new Failure(code, message, { retryable });
  }
}

/** The host of one test. A new one begins from nothing, and takes the place of the one before. */
export class Host {
  readonly #plugin: Exports;
  readonly #state: State;

  constructor(plugin: Exports, { settings = {} }: { settings?: unknown } = {}) {
    this.#plugin = plugin;
    this.#state = begin();
    this.#state.settings = JSON.stringify(settings);
    outcome(() => plugin.lifecycle.init(this.#state.settings));
  }

  /** The time: milliseconds since 1970-01-01T00:00:00Z. It stands until it is set again. */
  setNow(ms: number): void {
    this.#state.nowMs = ms;
  }

  /** The random bytes that the plugin gets, again and again. */
  setRandom(bytes: number[]): void {
    this.#state.random = bytes;
  }

  /** Another server of the cluster. */
  addServer(id: string, serverType: string): void {
    this.#state.addServer(id, serverType);
  }

  /** What a remote of another plugin answers from now on; `method` is `serverType.service.method`. */
  answer(method: string, answer: (args: any) => unknown): void {
    this.#state.remotes.set(method, answer);
  }

  /** A client that has connected, with this user if one is named. */
  session(uid: string | null = null): Session {
    return new Session(this.#state.connect(uid));
  }

  /** The session as its frontend has it now: with what was bound and pushed. */
  sessionNow(session: Session): Session {
    return new Session(this.#state.frontends(session.id));
  }

  /** Whether the session is still there, not kicked. */
  isConnected(session: Session): boolean {
    return this.#state.find(session.id) !== undefined;
  }

  /** Sends a message to a handler as a client does, and answers its answer or throws its failure. */
  request(route: string, body: unknown, session: Session): any {
    const raw = this.#state.copy(session.id);
    const answer = outcome(() => this.#plugin.handler.handle(route, encode(body), raw));
    return answer.length === 0 ? {} : decode(answer);
  }

  /** Calls a remote of the plugin as another plugin does; `method` is `serverType.service.method`. */
  call(method: string, args: unknown): any {
    return decode(outcome(() => this.#plugin.remote.call(method, encode(args))));
  }

  /** Lets a timer fire. */
  fire({ name, id, payload }: Timer): void {
    outcome(() => this.#plugin.timer.fired(name, id, encode(payload)));
  }

  /** What was sent to clients, in order. */
  get pushes(): Push[] {
    return this.#state.pushes;
  }

  /** The calls to other plugins, in order. */
  get calls(): Call[] {
    return this.#state.calls;
  }

  /** The timers that are set. */
  get timers(): Timer[] {
    return this.#state.timers;
  }

  /** The lines of the log, in order. */
  get log(): { level: string; message: string }[] {
    return this.#state.log;
  }
}
