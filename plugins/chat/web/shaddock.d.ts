/**
 * A client for servers that speak pomelo's protocol over WebSocket.
 *
 *     import { connect } from "./shaddock.js";
 *     const client = await connect("ws://127.0.0.1:3050/");
 *     client.on("onChat", (message) => …);
 *     const answer = await client.request("chat.chatHandler.send", { content: "hello", target: "*" });
 *
 * A Client is one connection. It never reconnects by itself: after a lost connection an application
 * has to log in anew, and usually to ask the gate again; chat-session.js shows how.
 */

/**
 * - `unreachable`: no connection could be made
 * - `handshake`: the server refused the handshake (`status` is its code) or broke it off
 * - `timeout`: no answer in time; the server may still have done what was asked
 * - `closed`: the connection is closed, or closed before the answer came
 * - `busy`: a limit of this client is reached (`pendingMax`, `bufferedBytesMax`); try again later
 * - `encode`: the route or body cannot be sent; nothing was sent
 * - `decode`: what the server sent cannot be read
 */
export type ErrorCode = "unreachable" | "handshake" | "timeout" | "closed" | "busy" | "encode" | "decode";

export class ShaddockError extends Error {
  constructor(code: ErrorCode, message: string, status?: number);
  readonly code: ErrorCode;
  /** The server's code when it refused the handshake: 500 failed, 501 client not supported. */
  readonly status: number | undefined;
}

/** Where dictionary and schemas are kept between connections, by URL: localStorage fits. */
export interface VersionCache {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

export interface Options {
  /** The WebSocket class. Default: the global one (browsers, node ≥ 22). In node 20 pass that of `ws`. */
  WebSocket?: new (url: string) => WebSocket;
  /** Sent as `user` in the handshake, for servers with a handshake hook. */
  user?: unknown;
  /** From the call of `connect` to the end of the handshake. Default 10,000. */
  connectTimeoutMs?: number;
  /** Default for `request`. 0 waits for ever (until the connection closes). Default 30,000. */
  requestTimeoutMs?: number;
  /** Requests that may wait for an answer at a time. Default 256. */
  pendingMax?: number;
  /** Bytes that may wait in the socket before requests and notifies are refused. Default 1 MiB. */
  bufferedBytesMax?: number;
  /** Saves the dictionary and schemas from being sent with every handshake. Default: none. */
  cache?: VersionCache;
}

/**
 * - `local`: `close()` was called
 * - `kick`: the server kicked this client; `reason` says why
 * - `heartbeat`: nothing was heard for two heartbeats
 * - `protocol`: the server sent bytes that are no packages
 * - `lost`: the server closed the connection, or the network did
 */
export type CloseCause = "local" | "kick" | "heartbeat" | "protocol" | "lost";

export interface CloseInfo {
  cause: CloseCause;
  /** WebSocket close code; 0 where there is none. */
  code: number;
  reason: string;
}

export interface RequestOptions {
  timeoutMs?: number;
  /**
   * Called with the answer before anything that the server sent after it is told. (What waits for the
   * promise goes on later, and a push in the same frame may be told in between.) Must not throw.
   */
  onAnswer?: (body: any) => void;
}

export interface Client {
  readonly url: string;
  readonly open: boolean;
  /** What the server's handshake hook answered, if it has one. */
  readonly user: unknown;

  /**
   * Sends a request. Resolves with the answer's body as it is: pomelo's handlers put their own `code`
   * into it, which is the application's to judge. Rejects with a ShaddockError if there is no answer.
   */
  request<T = any>(route: string, body?: unknown, options?: RequestOptions): Promise<T>;

  /** Sends a message that is not answered. Throws a ShaddockError if it cannot be sent. */
  notify(route: string, body?: unknown): void;

  /**
   * Listens to pushes of a route, or to an event:
   * - `close`: once, at the end, whatever the cause
   * - `kick`: the server kicked this client; `close` follows
   * - `push`: every push, with its route
   * - `error`: a push could not be read (answers that cannot be read reject their request)
   *
   * A push whose route is one of these names reaches only `push`. Returns a function that stops listening.
   */
  on(event: "close", listener: (info: CloseInfo) => void): () => void;
  on(event: "kick", listener: (info: { reason: string }) => void): () => void;
  on(event: "push", listener: (push: { route: string; body: any }) => void): () => void;
  on(event: "error", listener: (error: ShaddockError) => void): () => void;
  on(route: string, listener: (body: any) => void): () => void;

  off(name: string, listener: (argument: any) => void): void;

  /** Closes the connection; waiting requests reject with `closed`. */
  close(): void;
}

/** Connects and shakes hands. Rejects with a ShaddockError: `unreachable`, `handshake` or `timeout`. */
export function connect(url: string, options?: Options): Promise<Client>;
