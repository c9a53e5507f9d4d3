// @ts-check
/**
 * A client for servers that speak pomelo's protocol over WebSocket, for browsers and node.
 * The public interface is documented in shaddock.d.ts.
 */
import {
  MessageType, PackageType, REQUEST_ID_MAX, ShaddockError,
  decodeMessage, decodeText, encodeMessage, encodePackage, encodeText, splitPackages,
} from "./wire.js";
import { decodeBody, encodeBody, schemaOf } from "./protobuf.js";

export { ShaddockError };

/**
 * @typedef {import("./shaddock.js").Client} Client
 * @typedef {import("./shaddock.js").Options} Options
 * @typedef {import("./shaddock.js").CloseCause} CloseCause
 * @typedef {{route: string, resolve: (body: any) => void, reject: (error: Error) => void, timer: any, onAnswer?: ((body: any) => void) | undefined}} Pending
 */

// Not "js-websocket": to clients of that name servers send emoji as surrogate pairs, since they cannot
// read UTF-8 of four bytes. This client can.
const CLIENT = { type: "shaddock-js", version: "0.1.0" };

const EVENTS = new Set(["close", "kick", "push", "error"]);
const OPEN = 1;

/** @type {typeof import("./shaddock.js").connect} */
export async function connect(url, options = {}) {
  const connection = new Connection(url, options);
  await connection.ready;
  return connection;
}

/** @implements {Client} */
class Connection {
  #socket;
  #options;
  #shook = false; // our handshake is out
  #open = false;
  #finished = false;
  /** @type {unknown} */
  #user;
  #nextId = 1;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  /** @type {Map<string, Set<(argument: any) => void>>} */
  #listeners = new Map();
  /** @type {Map<string, number>} */
  #codes = new Map();
  /** @type {Map<number, string>} */
  #routes = new Map();
  /** @type {import("./protobuf.js").Schemas} */
  #clientSchemas = {};
  /** @type {import("./protobuf.js").Schemas} */
  #serverSchemas = {};
  #heartbeatMs = 0;
  /** @type {any} */
  #connectTimer;
  /** @type {any} */
  #beatTimer;
  /** @type {any} */
  #silenceTimer;
  /** @type {() => void} */
  #resolveReady = () => {};
  /** @type {(error: Error) => void} */
  #rejectReady = () => {};

  /** @param {string} url @param {Options} options */
  constructor(url, options) {
    this.url = url;
    this.#options = {
      connectTimeoutMs: 10_000, requestTimeoutMs: 30_000, pendingMax: 256, bufferedBytesMax: 1 << 20, ...options,
    };
    const WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!WebSocket) throw new TypeError("there is no global WebSocket here: pass one as options.WebSocket");
    /** @type {Promise<void>} settled by the end of the handshake */
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    try {
      this.#socket = new WebSocket(url);
    } catch (error) {
      throw new ShaddockError("unreachable", `${url}: ${error instanceof Error ? error.message : error}`);
    }
    const socket = this.#socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => this.#shakeHands());
    socket.addEventListener("message", (event) => this.#receiveFrame(event.data));
    socket.addEventListener("close", (event) => this.#finish("lost", event.code, event.reason));
    socket.addEventListener("error", () => {}); // "close" follows and says all there is to know
    const { connectTimeoutMs } = this.#options;
    this.#connectTimer = setTimeout(() => {
      this.#rejectReady(new ShaddockError("timeout", `${url}: no connection within ${connectTimeoutMs} ms`));
      this.close();
    }, connectTimeoutMs);
  }

  get open() { return this.#open; }

  get user() { return this.#user; }

  /**
   * @param {string} route
   * @param {unknown} [body]
   * @param {import("./shaddock.js").RequestOptions} [options]
   * @returns {Promise<any>}
   */
  async request(route, body = {}, { timeoutMs = this.#options.requestTimeoutMs, onAnswer } = {}) {
    const { pendingMax } = this.#options;
    if (this.#pending.size >= pendingMax) {
      throw new ShaddockError("busy", `${route}: ${pendingMax} requests are waiting already`);
    }
    while (this.#pending.has(this.#nextId)) this.#nextId = (this.#nextId % REQUEST_ID_MAX) + 1;
    const id = this.#nextId;
    this.#nextId = (id % REQUEST_ID_MAX) + 1;
    this.#sendMessage(id, route, body);
    return new Promise((resolve, reject) => {
      const timer = timeoutMs > 0 ? setTimeout(() => {
        this.#pending.delete(id);
        reject(new ShaddockError("timeout", `${route}: no answer within ${timeoutMs} ms`));
      }, timeoutMs) : undefined;
      this.#pending.set(id, { route, resolve, reject, timer, onAnswer });
    });
  }

  /** @param {string} route @param {unknown} [body] */
  notify(route, body = {}) {
    this.#sendMessage(0, route, body);
  }

  /** @param {string} name @param {(argument: any) => void} listener */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => this.off(name, listener);
  }

  /** @param {string} name @param {(argument: any) => void} listener */
  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
  }

  close() {
    this.#finish("local", 1000, "");
  }

  // --- sending ---

  /** @param {number} id 0 for a notify @param {string} route @param {unknown} body */
  #sendMessage(id, route, body) {
    if (!this.#open || this.#socket.readyState !== OPEN) {
      throw new ShaddockError("closed", `${route}: the connection to ${this.url} is closed`);
    }
    if (this.#socket.bufferedAmount > this.#options.bufferedBytesMax) {
      throw new ShaddockError("busy", `${route}: ${this.#socket.bufferedAmount} bytes are waiting to be sent already`);
    }
    const bytes = schemaOf(this.#clientSchemas, route)
      ? encodeBody(this.#clientSchemas, route, body)
      : encodeText(JSON.stringify(body ?? {}));
    this.#send(PackageType.DATA, encodeMessage(id, route, this.#codes.get(route), bytes));
  }

  /** @param {number} type @param {Uint8Array<ArrayBuffer>} [body] */
  #send(type, body) {
    if (this.#socket.readyState === OPEN) this.#socket.send(encodePackage(type, body));
  }

  // --- handshake ---

  #cacheKey() { return `shaddock:${this.url}`; }

  /** What an earlier handshake with this URL brought. @returns {{[key: string]: any}} */
  #cached() {
    try {
      return JSON.parse(this.#options.cache?.getItem(this.#cacheKey()) ?? "{}");
    } catch {
      return {}; // a cache that cannot be read costs a longer handshake, no more
    }
  }

  #shakeHands() {
    this.#shook = true;
    const { dictVersion, protoVersion } = this.#cached();
    const sys = { ...CLIENT, dictVersion, protoVersion };
    this.#send(PackageType.HANDSHAKE, encodeText(JSON.stringify({ sys, user: this.#options.user })));
  }

  /** @param {Uint8Array} body */
  #finishHandshake(body) {
    if (this.#open) return;
    const reply = JSON.parse(decodeText(body));
    if (reply?.code !== 200) {
      const why = reply?.code === 501 ? "does not support this client" : "refused the handshake";
      this.#rejectReady(new ShaddockError("handshake", `${this.url} ${why} (code ${reply?.code})`, reply?.code));
      this.close();
      return;
    }
    this.#learn(reply.sys ?? {});
    this.#user = reply.user;
    this.#open = true;
    clearTimeout(this.#connectTimer);
    this.#send(PackageType.HANDSHAKE_ACK);
    this.#scheduleHeartbeat();
    this.#resolveReady();
  }

  /** Takes over dictionary, schemas and heartbeat of the handshake's `sys`. @param {any} sys */
  #learn(sys) {
    const cached = this.#cached();
    const { dictVersion, dict } = sys.dict ? sys : cached;
    const protos = sys.protos ?? cached.protos;
    if ((sys.useDict && !dict) || (sys.useProto && !protos)) {
      throw new ShaddockError("handshake", `${this.url} left out a dictionary or schemas that this client does not have`);
    }
    if (sys.useDict) {
      for (const [route, code] of Object.entries(dict)) {
        this.#codes.set(route, code);
        this.#routes.set(code, route);
      }
    }
    if (sys.useProto) {
      this.#clientSchemas = protos.client ?? {};
      this.#serverSchemas = protos.server ?? {};
    }
    if (sys.dict || sys.protos) {
      try {
        this.#options.cache?.setItem(this.#cacheKey(), JSON.stringify({ dictVersion, dict, protoVersion: protos?.version, protos }));
      } catch {
        // a full cache costs a longer handshake, no more
      }
    }
    this.#heartbeatMs = sys.heartbeat > 0 ? sys.heartbeat * 1000 : 0;
  }

  // --- receiving ---

  /** @param {unknown} data */
  #receiveFrame(data) {
    try {
      if (!(data instanceof ArrayBuffer)) throw new ShaddockError("decode", "text frame; packages come in binary ones");
      for (const { type, body } of splitPackages(new Uint8Array(data))) {
        if (this.#finished) return;
        this.#expectSignOfLife();
        this.#receivePackage(type, body);
      }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#rejectReady(error instanceof ShaddockError && error.code === "handshake" ? error
        : new ShaddockError("handshake", `${this.url} sent what is no handshake: ${message}`));
      this.#finish("protocol", 0, message);
    }
  }

  /** @param {number} type @param {Uint8Array} body */
  #receivePackage(type, body) {
    if (type === PackageType.HANDSHAKE) this.#finishHandshake(body);
    else if (type === PackageType.HEARTBEAT) this.#scheduleHeartbeat();
    else if (type === PackageType.DATA && this.#open) this.#receiveMessage(body);
    else if (type === PackageType.KICK) this.#receiveKick(body);
  }

  /** @param {Uint8Array} bytes */
  #receiveMessage(bytes) {
    const { type, id, route, body } = decodeMessage(bytes);
    if (type === MessageType.RESPONSE) {
      const pending = this.#pending.get(id);
      if (!pending) return; // timed out before
      this.#pending.delete(id);
      clearTimeout(pending.timer);
      try {
        const answer = this.#decodeBody(pending.route, body);
        pending.onAnswer?.(answer);
        pending.resolve(answer);
      } catch (error) {
        pending.reject(unreadable(`answer to ${pending.route}`, error));
      }
    } else if (type === MessageType.PUSH) {
      const name = typeof route === "number" ? this.#routes.get(route) : route;
      try {
        if (name === undefined) throw new ShaddockError("decode", `route code ${route} is not in the dictionary`);
        const push = { route: name, body: this.#decodeBody(name, body) };
        this.#emit("push", push);
        if (!EVENTS.has(name)) this.#emit(name, push.body);
      } catch (error) {
        this.#emit("error", unreadable(`push ${name ?? ""}`, error));
      }
    }
  }

  /** @param {string} route @param {Uint8Array} body */
  #decodeBody(route, body) {
    if (schemaOf(this.#serverSchemas, route)) return decodeBody(this.#serverSchemas, route, body);
    return body.length === 0 ? null : JSON.parse(decodeText(body));
  }

  /** @param {Uint8Array} body */
  #receiveKick(body) {
    let reason = "";
    try {
      reason = String(JSON.parse(decodeText(body)).reason ?? "");
    } catch {
      // a kick without a readable reason is a kick
    }
    this.#emit("kick", { reason });
    this.#finish("kick", 1000, reason);
  }

  // --- heartbeat ---

  /** The next heartbeat follows the server's last one, so the server, not a slow tab, sets the pace. */
  #scheduleHeartbeat() {
    if (!this.#heartbeatMs) return;
    clearTimeout(this.#beatTimer);
    this.#beatTimer = setTimeout(() => this.#send(PackageType.HEARTBEAT), this.#heartbeatMs);
    this.#expectSignOfLife();
  }

  #expectSignOfLife() {
    if (!this.#heartbeatMs) return;
    clearTimeout(this.#silenceTimer);
    const silenceMs = 2 * this.#heartbeatMs;
    this.#silenceTimer = setTimeout(() => this.#finish("heartbeat", 0, `nothing heard for ${silenceMs} ms`), silenceMs);
  }

  // --- the end ---

  /** @param {CloseCause} cause @param {number} code @param {string} reason */
  #finish(cause, code, reason) {
    if (this.#finished) return;
    this.#finished = true;
    for (const timer of [this.#connectTimer, this.#beatTimer, this.#silenceTimer]) clearTimeout(timer);
    this.#rejectReady(new ShaddockError(this.#shook ? "handshake" : "unreachable", `${this.url}: closed before the handshake was done (${cause}, code ${code})`));
    this.#open = false;
    if (this.#socket.readyState <= OPEN) this.#socket.close();
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const { route, reject, timer } of waiting) {
      clearTimeout(timer);
      reject(new ShaddockError("closed", `${route}: the connection closed before the answer came (${cause})`));
    }
    this.#emit("close", { cause, code, reason });
  }

  /** A listener that throws must not keep the others from hearing. @param {string} name @param {unknown} argument */
  #emit(name, argument) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(argument);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }
}

/** @param {string} what @param {unknown} error */
function unreadable(what, error) {
  return new ShaddockError("decode", `${what}: ${error instanceof Error ? error.message : error}`);
}
