/** The imports of the contract as a test has them, in the place of `shaddock:plugin/*`; each by default export. */
import type { Member, RawFailure, RawSession, Server, SessionId } from "shaddock:plugin/types@0.1.0";

/** The frontend of all sessions, and the plugin's own server. */
export const FRONTEND = "connector-1";

/** What a plugin has sent to clients: to a session by its number, to users, or to all at the frontends of a type. */
export interface Push {
  to: { session: number } | { users: string[] } | { serverType: string; boundOnly: boolean };
  route: string;
  body: any;
}

/** A call to another plugin, at a server type or a server's id. */
export interface Call {
  to: string;
  method: string;
  args: any;
}

/** A timer that was set and not cancelled. */
export interface Timer {
  id: number;
  name: string;
  ms: number;
  repeats: boolean;
  payload: any;
}

interface Channel {
  stays: boolean;
  members: Member[];
}

declare function structuredClone<T>(value: T): T;
declare const Buffer: {
  from(text: string, encoding: "base64"): Iterable<number>;
  from(bytes: Uint8Array): { toString(encoding: "base64"): string };
};

// The engine of plugins has these, and Node.js only in later versions than 20.
Uint8Array.fromBase64 ??= (text) => Uint8Array.from(Buffer.from(text, "base64"));
Uint8Array.prototype.toBase64 ??= function () {
  return Buffer.from(this).toString("base64");
};

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value ?? null));
const decode = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));
const same = (a: Member, b: Member) => a.uid === b.uid && a.frontendId === b.frontendId;

/** Thrown as the bindings throw what an import fails with. */
function fail(code: number, message: string): never {
  throw { payload: { code, message, retryable: false } satisfies RawFailure };
}

/** What the host of a test knows. */
export class Host {
  settings = "{}";
  nowMs = 0;
  random = [0];
  servers: Server[] = [];
  remotes = new Map<string, (args: any) => unknown>();
  /** As the frontend has them. */
  sessions: RawSession[] = [];
  /** As the running call has them. */
  copies: RawSession[] = [];
  channels = new Map<string, Channel>();
  pushes: Push[] = [];
  calls: Call[] = [];
  timers: Timer[] = [];
  log: { level: string; message: string }[] = [];
  #last = 0;

  constructor() {
    this.addServer(FRONTEND, "connector");
  }

  number(): number {
    return ++this.#last;
  }

  addServer(id: string, serverType: string): void {
    const server = { id, serverType, frontend: id === FRONTEND, host: "127.0.0.1", port: null, clientHost: null, clientPort: null, fields: "{}" };
    this.servers = [...this.servers.filter((known) => known.id !== id), server].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  connect(uid: string | null): RawSession {
    const session = { id: { frontendId: FRONTEND, number: this.number() }, uid, settings: [] };
    this.sessions.push(session);
    return this.copy(session.id);
  }

  find(id: SessionId, among = this.sessions): RawSession | undefined {
    return among.find((session) => session.id.number === id.number && session.id.frontendId === id.frontendId);
  }

  frontends(id: SessionId): RawSession {
    return this.find(id) ?? fail(404, "no such session");
  }

  /** A copy for a call that begins. */
  copy(id: SessionId): RawSession {
    const copy = structuredClone(this.frontends(id));
    this.copies = [...this.copies.filter((known) => known.id.number !== id.number), copy];
    return structuredClone(copy);
  }

  copyOf(id: SessionId): RawSession {
    return this.find(id, this.copies) ?? fail(400, "the call has no copy of that session");
  }

  members(name: string): Member[] {
    return this.channels.get(name)?.members ?? fail(404, "no such channel");
  }

  push(to: Push["to"], route: string, body: Uint8Array): void {
    this.pushes.push({ to, route, body: decode(body) });
  }

  call(serverType: string, to: string, method: string, args: Uint8Array): Uint8Array {
    this.calls.push({ to, method, args: decode(args) });
    const remote = this.remotes.get(`${serverType}.${method}`);
    if (!remote) fail(404, `the test has no answer prepared for ${serverType}.${method}: Host.answer does that`);
    try {
      return encode(remote(decode(args)));
    } catch (thrown: any) {
      return fail(thrown?.code ?? 500, thrown?.message ?? String(thrown));
    }
  }
}

/** The host of the running test. */
export let current = new Host();

/** Begins anew. */
export function begin(): Host {
  current = new Host();
  return current;
}

const put = (session: RawSession, key: string, value: string) => {
  const setting = session.settings.find((known) => known.key === key);
  if (setting) setting.value = value;
  else session.settings.push({ key, value });
};

export const app = {
  log: (level: string, message: string) => void current.log.push({ level, message }),
  ownServer: () => current.servers.find(({ id }) => id === FRONTEND)!,
  servers: (serverType: string) => current.servers.filter((server) => server.serverType === serverType),
  server: (id: string) => current.servers.find((server) => server.id === id) ?? null,
  serverTypes: () => [...new Set(current.servers.map((server) => server.serverType))].sort(),
  settings: () => current.settings,
  nowMs: () => current.nowMs,
  monotonicNs: () => current.nowMs * 1e6,
  randomBytes: (length: number) => Uint8Array.from({ length }, (_, at) => current.random[at % current.random.length]!),
};

export const sessions = {
  get: (id: SessionId) => structuredClone(current.frontends(id)),
  byUid: (frontendId: string, uid: string) => sessions.find(uid).filter((session) => session.id.frontendId === frontendId),
  bind(id: SessionId, uid: string) {
    const session = current.frontends(id);
    if (session.uid !== null && session.uid !== uid) fail(409, "the session is bound to somebody else");
    session.uid = uid;
  },
  unbind(id: SessionId, uid: string) {
    const session = current.frontends(id);
    if (session.uid !== uid) fail(409, "that user is not bound to the session");
    session.uid = null;
  },
  set: (id: SessionId, key: string, value: string) => put(current.copyOf(id), key, value),
  push(id: SessionId, keys: string[]) {
    const session = current.frontends(id);
    for (const { key, value } of current.copyOf(id).settings) {
      if (keys.length === 0 || keys.includes(key)) put(session, key, value);
    }
  },
  kick(id: SessionId, _reason: string) {
    current.sessions = current.sessions.filter((session) => session.id.number !== id.number);
  },
  kickUid(frontendId: string, uid: string, reason: string) {
    const found = sessions.byUid(frontendId, uid);
    for (const { id } of found) sessions.kick(id, reason);
    return found.length;
  },
  find: (uid: string) => current.sessions.filter((session) => session.uid === uid).map((session) => structuredClone(session)),
  kickEverywhere: (uid: string, reason: string) => sessions.kickUid(FRONTEND, uid, reason),
  address: (id: SessionId) => `127.0.0.1:${50_000 + current.frontends(id).id.number}`,
  send(id: SessionId, route: string, body: Uint8Array) {
    current.push({ session: current.frontends(id).id.number }, route, body);
  },
};

export const channels = {
  create(name: string) {
    const channel = current.channels.get(name);
    current.channels.set(name, { stays: true, members: channel?.members ?? [] });
    return channel === undefined;
  },
  join(name: string, member: Member) {
    const channel = current.channels.get(name) ?? { stays: false, members: [] };
    current.channels.set(name, channel);
    if (channel.members.some((known) => same(known, member))) return false;
    channel.members.push(member);
    return true;
  },
  leave(name: string, member: Member) {
    const channel = current.channels.get(name);
    const at = channel?.members.findIndex((known) => same(known, member)) ?? -1;
    if (!channel || at < 0) return false;
    channel.members.splice(at, 1);
    if (channel.members.length === 0 && !channel.stays) current.channels.delete(name);
    return true;
  },
  members: (name: string) => [...current.members(name)],
  find: (name: string, uid: string) => current.channels.get(name)?.members.find((member) => member.uid === uid) ?? null,
  push(name: string, route: string, body: Uint8Array) {
    current.push({ users: current.members(name).map(({ uid }) => uid) }, route, body);
  },
  pushTo(members: Member[], route: string, body: Uint8Array) {
    if (members.length === 0) fail(400, "no members are named");
    current.push({ users: members.map(({ uid }) => uid) }, route, body);
  },
  broadcast(serverType: string, route: string, body: Uint8Array, boundOnly: boolean) {
    current.push({ serverType, boundOnly }, route, body);
  },
  destroy: (name: string) => current.channels.delete(name),
  /** Everybody is reached. */
  pushAndReport(name: string, route: string, body: Uint8Array): Member[] {
    channels.push(name, route, body);
    return [];
  },
  pushToAndReport(members: Member[], route: string, body: Uint8Array): Member[] {
    channels.pushTo(members, route, body);
    return [];
  },
  /** The filter is another plugin's: it selects everybody. */
  broadcastTo(serverType: string, route: string, body: Uint8Array, { boundOnly }: { boundOnly: boolean }) {
    channels.broadcast(serverType, route, body, boundOnly);
  },
  /** Every client of a test keeps up. */
  setDelivery: (name: string, _delivery: unknown) => void channels.create(name),
};

export const rpc = {
  call: (serverType: string, _key: unknown, method: string, args: Uint8Array) =>
    current.call(serverType, serverType, method, args),
  callServer(serverId: string, method: string, args: Uint8Array) {
    const server = app.server(serverId) ?? fail(404, "no such server: Host.addServer adds one");
    return current.call(server.serverType, serverId, method, args);
  },
  callAll: (serverType: string, method: string, args: Uint8Array) =>
    app.servers(serverType).map(({ id }) => {
      try {
        return [id, { tag: "ok", val: rpc.callServer(id, method, args) }];
      } catch (thrown: any) {
        return [id, { tag: "err", val: thrown.payload }];
      }
    }),
  callWith: (serverType: string, key: unknown, method: string, args: Uint8Array, _options: unknown) =>
    rpc.call(serverType, key, method, args),
  /** Nobody waits for the outcome, so that a failure is none of the caller's. */
  notify(serverType: string, key: unknown, method: string, args: Uint8Array) {
    try {
      rpc.call(serverType, key, method, args);
    } catch {}
  },
};

const setTimer = (repeats: boolean) => (ms: number, name: string, payload: Uint8Array) => {
  const id = current.number();
  current.timers.push({ id, name, ms, repeats, payload: decode(payload) });
  return id;
};

export const timers = {
  after: setTimer(false),
  every: setTimer(true),
  cancel(id: number) {
    const before = current.timers.length;
    current.timers = current.timers.filter((timer) => timer.id !== id);
    return current.timers.length < before;
  },
};
