/**
 * Write Shaddock plugins in JavaScript and TypeScript.
 *
 * A plugin is an object of functions. Messages are values of JSON, and what is thrown is the failure of the call: a
 * `Failure` with its code, anything else with the code 500 and its message in the log.
 */
import "./globals.ts";

import type { Member, RawFailure, RawSession, Server, SessionId, Setting } from "shaddock:plugin/types@0.1.0";
import hostApp from "shaddock:plugin/app@0.1.0";
import hostChannels from "shaddock:plugin/channels@0.1.0";
import hostRpc from "shaddock:plugin/rpc@0.1.0";
import hostSessions from "shaddock:plugin/sessions@0.1.0";
import hostTimers from "shaddock:plugin/timers@0.1.0";

export type { Member, Server };

/** Why a call gives no result: a code for the client, a message for the log. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: number;
  /** Whether the same call may succeed later without harm. */
  readonly retryable: boolean;

  constructor(code: number, message: string, { retryable = false } = {}) {
    super(message);
    this.code = code;
    this.retryable = retryable;
  }
}

function encode(value: any): Uint8Array {
  if (typeof value?.then === "function") throw new TypeError("a promise is no JSON: nothing can be awaited here");
  return new TextEncoder().encode(JSON.stringify(value));
}

const decode = (bytes: Uint8Array): any => JSON.parse(new TextDecoder().decode(bytes));

function decodeMessage(bytes: Uint8Array): any {
  try {
    return decode(bytes);
  } catch (error) {
    throw new Failure(400, String(error));
  }
}

/** Calls the host, whose failures are thrown as they are typed here. */
function ask<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown: any) {
    throw failureOf(thrown?.payload ?? thrown);
  }
}

const failureOf = (raw: RawFailure): Error =>
  typeof raw?.code === "number" ? new Failure(raw.code, raw.message, raw) : (raw as unknown as Error);

/** What a call throws, as the host takes it. */
function guard<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    const { code, message, retryable } =
      thrown instanceof Failure ? thrown : { code: 500, message: described(thrown), retryable: false };
    throw { code, message: `${what}: ${message}`.toWellFormed(), retryable };
  }
}

function described(thrown: unknown): string {
  const at = thrown instanceof Error ? thrown.stack?.trim().split("\n")[0]?.trim() : undefined;
  return at ? `${thrown} (${at})` : String(thrown);
}

/** The session of a client: a copy made when the call was dispatched. */
export class Session {
  readonly id: SessionId;
  #uid: string | null;
  readonly #given: Setting[];
  #settings: Map<string, string> | undefined;

  constructor(raw: RawSession) {
    this.id = raw.id;
    this.#uid = raw.uid;
    this.#given = raw.settings;
  }

  /** Made when it is asked for first: most calls do without. */
  get #known(): Map<string, string> {
    return (this.#settings ??= new Map(this.#given.map(({ key, value }) => [key, value])));
  }

  /** The id of the frontend that holds the connection. */
  get frontend(): string {
    return this.id.frontendId;
  }

  /** The user bound to the session, if any. */
  get uid(): string | null {
    return this.#uid;
  }

  /** The user as a channel knows it; fails (401) if none is bound. */
  member(): Member {
    if (this.#uid === null) throw new Failure(401, "no user is bound to the session");
    return { uid: this.#uid, frontendId: this.frontend };
  }

  /** A setting, or undefined if it was never set. */
  get(key: string): any {
    const value = this.#known.get(key);
    return value === undefined ? undefined : JSON.parse(value);
  }

  /** Changes a setting of this copy; `push` lets the next call see it. */
  set(key: string, value: unknown): void {
    const json = JSON.stringify(value ?? null);
    ask(() => hostSessions.set(this.id, key, json));
    this.#known.set(key, json);
  }

  /** Writes the settings named, or all, to the frontend. The last writer wins. */
  push(...keys: string[]): void {
    ask(() => hostSessions.push(this.id, keys));
  }

  /** Binds a user. The same user again is fine, another one fails (409). */
  bind(uid: string): void {
    ask(() => hostSessions.bind(this.id, uid));
    this.#uid = uid;
  }

  /** Takes the binding back. Nothing happens if there is none. */
  unbind(): void {
    const uid = this.#uid;
    if (uid === null) return;
    ask(() => hostSessions.unbind(this.id, uid));
    this.#uid = null;
  }

  /** Tells the client why, and closes the connection. */
  kick(reason: string): void {
    ask(() => hostSessions.kick(this.id, reason));
  }

  /** Sends a push message to this session, whether a user is bound or not. */
  send(route: string, message: unknown): void {
    ask(() => hostSessions.send(this.id, route, encode(message)));
  }

  /** The address of the client, `ip:port` as its frontend sees it. */
  address(): string {
    return ask(() => hostSessions.address(this.id));
  }
}

/** A channel of this server. It begins with its first member, and ends with the last unless `create` made it. */
export class Channel {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** Makes the channel stay while it is empty. True if it is new. */
  create(): boolean {
    return ask(() => hostChannels.create(this.name));
  }

  /** Adds a member. False if it was one already. */
  join(member: Member): boolean {
    return ask(() => hostChannels.join(this.name, member));
  }

  /** Removes a member. False if it was none. */
  leave(member: Member): boolean {
    return hostChannels.leave(this.name, member);
  }

  /** The members; none if there is no such channel. */
  members(): Member[] {
    try {
      return ask(() => hostChannels.members(this.name));
    } catch (failure) {
      if (failure instanceof Failure && failure.code === 404) return [];
      throw failure;
    }
  }

  /** The first member with this user id. */
  find(uid: string): Member | null {
    return hostChannels.find(this.name, uid);
  }

  /** Sends a push message to everybody who is a member now; fails (404) if there is no such channel. */
  push(route: string, message: unknown): void {
    ask(() => hostChannels.push(this.name, route, encode(message)));
  }

  /** Removes the channel with all its members. False if there is none. */
  destroy(): boolean {
    return hostChannels.destroy(this.name);
  }
}

/** Sends a push message to the users named; fails (400) if there are none. */
export function pushTo(members: Member[], route: string, message: unknown): void {
  ask(() => hostChannels.pushTo(members, route, encode(message)));
}

/** Sends a push message to all sessions, or the bound ones, of every frontend of a type. */
export function broadcast(serverType: string, route: string, message: unknown, { boundOnly = false } = {}): void {
  ask(() => hostChannels.broadcast(serverType, route, encode(message), boundOnly));
}

const keyOf = (key: Session | string) =>
  typeof key === "string" ? ({ tag: "value", val: key } as const) : ({ tag: "session", val: key.id } as const);

/** Calls to the remotes of plugins on other servers; `method` is `service.method`. */
export const rpc = {
  /** Calls one server of a type, picked by its route function. */
  call(serverType: string, key: Session | string, method: string, args: unknown): any {
    return decode(ask(() => hostRpc.call(serverType, keyOf(key), method, encode(args))));
  },
  /** Calls one server by its id. */
  callServer(serverId: string, method: string, args: unknown): any {
    return decode(ask(() => hostRpc.callServer(serverId, method, encode(args))));
  },
  /** Calls all servers of a type at once; answers each server's id, and its answer or its failure. */
  callAll(serverType: string, method: string, args: unknown): { id: string; answer?: any; failure?: Error }[] {
    return hostRpc.callAll(serverType, method, encode(args)).map(([id, outcome]) =>
      outcome.tag === "ok" ? { id, answer: decode(outcome.val) } : { id, failure: failureOf(outcome.val) },
    );
  },
  /** As `call`, without waiting for the outcome. */
  notify(serverType: string, key: Session | string, method: string, args: unknown): void {
    ask(() => hostRpc.notify(serverType, keyOf(key), method, encode(args)));
  },
};

/** Timers of this server, which call the functions in `timers` of the plugin. */
export const timers = {
  /** Calls it once, after a delay of at most 100 days. Answers the timer's number. */
  after(delayMs: number, name: string, payload: unknown): number {
    return ask(() => hostTimers.after(delayMs, name, encode(payload)));
  },
  /** Calls it again and again, at least 10 milliseconds apart. */
  every(periodMs: number, name: string, payload: unknown): number {
    return ask(() => hostTimers.every(periodMs, name, encode(payload)));
  },
  /** False if there is no such timer any more. */
  cancel(id: number): boolean {
    return hostTimers.cancel(id);
  },
};

let settings: any;

/** The server that the plugin runs in. */
export const app = {
  ownServer: (): Server => hostApp.ownServer(),
  /** The servers of a type that are up now, sorted by id. */
  servers: (serverType: string): Server[] => hostApp.servers(serverType),
  server: (id: string): Server | null => hostApp.server(id),
  serverTypes: (): string[] => hostApp.serverTypes(),
  /** The plugin's own settings from plugins.json. */
  settings: (): any => settings,
  /** Nanoseconds since some moment before the instance was made. */
  monotonicNs: (): number => hostApp.monotonicNs(),
  /** Random bytes of cryptographic quality; at most 4096. */
  randomBytes: (length: number): Uint8Array => hostApp.randomBytes(length),
};

/** What a route function decides by: a session, or the caller's own text. */
export class RouteKey {
  readonly session: Session | undefined;
  readonly value: string | undefined;

  constructor(raw: { tag: "session"; val: RawSession } | { tag: "value"; val: string }) {
    if (raw.tag === "session") this.session = new Session(raw.val);
    else this.value = raw.val;
  }

  /** The caller's own text, or that setting of the session; empty if there is neither. */
  text(setting: string): string {
    return this.value ?? String(this.session?.get(setting) ?? "");
  }
}

/** The one of `from` that a text's hash names: `abs(crc32(text)) % n`, as pomelo's dispatchers do. */
export function pick<T>(text: string, from: readonly T[]): T | undefined {
  return from[Math.abs(crc32(text)) % from.length];
}

/** CRC-32 over the low byte of each UTF-16 unit, as a signed number. */
export function crc32(text: string): number {
  let crc = -1;
  for (let at = 0; at < text.length; at++) {
    crc ^= text.charCodeAt(at) & 0xff;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

/** What a plugin offers; each part can be left out. */
export interface Plugin {
  /** Requests and notifies of clients, by `serverType.handler.method`. No answer is `{}`. */
  routes?: Record<string, (message: any, session: Session) => unknown>;
  /** Calls of other plugins, by `serverType.service.method`. */
  remotes?: Record<string, (args: any) => unknown>;
  /** Route functions by server type; the answer is one of the servers, or the id of one. */
  routers?: Record<string, (key: RouteKey, servers: Server[], method: string) => Server | string | undefined>;
  /** What timers call, by their names. */
  timers?: Record<string, (payload: any) => unknown>;
  /** In every new instance, before its first call. */
  init?: () => void;
  /** Once per server, before clients are served. */
  start?: () => void;
  /** Once per server, before it stops. */
  stop?: () => void;
  /** On its frontend, when a session has gone. */
  sessionClosed?: (session: Session, reason: string) => void;
}

function find<F>(table: Record<string, F>, name: string): F {
  const found = table[name];
  if (found === undefined) throw new Failure(404, "the plugin has no such function");
  return found;
}

/** The exports of a plugin: `export const { handler, remote, router, lifecycle, timer } = plugin({ … })`. */
export function plugin({ routes = {}, remotes = {}, routers = {}, timers = {}, ...moments }: Plugin) {
  const servers = new Map<string, Server[]>();
  const report = (moment: string, call: () => void) => {
    try {
      call();
    } catch (error) {
      console.warn(`${moment}:`, error);
    }
  };
  const take = (json: string) => {
    settings = JSON.parse(json);
  };
  return {
    handler: {
      routes: () => Object.keys(routes),
      handle: (route: string, body: Uint8Array, session: RawSession) =>
        guard(route, () => {
          const answer = find(routes, route)(decodeMessage(body), new Session(session));
          return answer === undefined ? new Uint8Array() : encode(answer);
        }),
    },
    remote: {
      methods: () => Object.keys(remotes),
      call: (method: string, args: Uint8Array) =>
        guard(method, () => encode(find(remotes, method)(decodeMessage(args)) ?? null)),
    },
    router: {
      serverTypes: () => Object.keys(routers),
      setServers: (serverType: string, list: Server[]) => void servers.set(serverType, list),
      route: (serverType: string, key: ConstructorParameters<typeof RouteKey>[0], method: string) =>
        guard(serverType, () => {
          const target = find(routers, serverType)(new RouteKey(key), servers.get(serverType) ?? [], method);
          if (target === undefined) throw new Failure(503, "no server of the type is up", { retryable: true });
          return { tag: "id", val: typeof target === "string" ? target : target.id };
        }),
    },
    lifecycle: {
      init: (json: string) => guard("init", () => (take(json), moments.init?.())),
      start: (json: string) => guard("start", () => (take(json), moments.start?.())),
      sessionClosed: (session: RawSession, reason: string) =>
        report("sessionClosed", () => moments.sessionClosed?.(new Session(session), reason)),
      stop: () => report("stop", () => moments.stop?.()),
    },
    timer: {
      fired: (name: string, _id: number, payload: Uint8Array) =>
        guard(`timer ${name}`, () => void find(timers, name)(decodeMessage(payload))),
    },
  };
}
