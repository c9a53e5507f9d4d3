/** What the host offers, as componentize-qjs binds `wit/plugin.wit`: an object by default export, `null` for none. */

declare module "shaddock:plugin/types@0.1.0" {
  export interface SessionId {
    frontendId: string;
    number: number;
  }
  export interface Setting {
    key: string;
    value: string;
  }
  export interface RawSession {
    id: SessionId;
    uid: string | null;
    settings: Setting[];
  }
  export interface Member {
    uid: string;
    frontendId: string;
  }
  export interface Server {
    id: string;
    serverType: string;
    frontend: boolean;
    /** The host for other servers. */
    host: string;
    port: number | null;
    /** The host for clients where servers.json names one; else use `host`. */
    clientHost: string | null;
    clientPort: number | null;
    /** The whole entry of servers.json as JSON. */
    fields: string;
  }
  export interface RawFailure {
    code: number;
    message: string;
    retryable: boolean;
  }
}

declare module "shaddock:plugin/app@0.1.0" {
  import type { Server } from "shaddock:plugin/types@0.1.0";
  const app: {
    log(level: "debug" | "info" | "warn" | "error", message: string): void;
    ownServer(): Server;
    servers(serverType: string): Server[];
    server(id: string): Server | null;
    serverTypes(): string[];
    settings(): string;
    nowMs(): number;
    monotonicNs(): number;
    randomBytes(len: number): Uint8Array;
  };
  export default app;
}

declare module "shaddock:plugin/sessions@0.1.0" {
  import type { RawSession, SessionId } from "shaddock:plugin/types@0.1.0";
  const sessions: {
    get(id: SessionId): RawSession;
    byUid(frontendId: string, uid: string): RawSession[];
    bind(id: SessionId, uid: string): void;
    unbind(id: SessionId, uid: string): void;
    set(id: SessionId, key: string, value: string): void;
    push(id: SessionId, keys: string[]): void;
    kick(id: SessionId, reason: string): void;
    kickUid(frontendId: string, uid: string, reason: string): number;
    find(uid: string): RawSession[];
    kickEverywhere(uid: string, reason: string): number;
    address(id: SessionId): string;
    send(id: SessionId, route: string, body: Uint8Array): void;
  };
  export default sessions;
}

declare module "shaddock:plugin/channels@0.1.0" {
  import type { Member } from "shaddock:plugin/types@0.1.0";
  const channels: {
    create(name: string): boolean;
    join(name: string, member: Member): boolean;
    leave(name: string, member: Member): boolean;
    members(name: string): Member[];
    find(name: string, uid: string): Member | null;
    push(name: string, route: string, body: Uint8Array): void;
    pushTo(members: Member[], route: string, body: Uint8Array): void;
    broadcast(serverType: string, route: string, body: Uint8Array, boundOnly: boolean): void;
    destroy(name: string): boolean;
  };
  export default channels;
}

declare module "shaddock:plugin/rpc@0.1.0" {
  import type { RawFailure, SessionId } from "shaddock:plugin/types@0.1.0";
  type RouteKey = { tag: "session"; val: SessionId } | { tag: "value"; val: string };
  type Outcome = { tag: "ok"; val: Uint8Array } | { tag: "err"; val: RawFailure };
  const rpc: {
    call(serverType: string, key: RouteKey, method: string, args: Uint8Array): Uint8Array;
    callServer(serverId: string, method: string, args: Uint8Array): Uint8Array;
    callAll(serverType: string, method: string, args: Uint8Array): [string, Outcome][];
    notify(serverType: string, key: RouteKey, method: string, args: Uint8Array): void;
  };
  export default rpc;
}

declare module "shaddock:plugin/timers@0.1.0" {
  const timers: {
    after(delayMs: number, name: string, payload: Uint8Array): number;
    every(periodMs: number, name: string, payload: Uint8Array): number;
    cancel(id: number): boolean;
  };
  export default timers;
}
