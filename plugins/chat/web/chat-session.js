// @ts-check
/**
 * One person's stay in the chat, without any page: asks the gate, enters a room, keeps the list of who
 * is there, and comes back after a lost connection.
 */
import { ShaddockError, connect } from "./shaddock.js";

/**
 * @typedef {import("./shaddock.js").Client} Client
 * @typedef {import("./shaddock.js").Options} Options
 *
 * @typedef {object} Listener what a page gets to know
 * @property {(room: string, users: string[], again: boolean) => void} onEnter in a room; `again`: after a reconnection
 * @property {(users: string[]) => void} onUsers the list of who is there has changed
 * @property {(user: string) => void} onJoined
 * @property {(user: string) => void} onLeft
 * @property {(message: {from: string, target: string, text: string}) => void} onMessage target `*` is everybody
 * @property {(attempt: number, attemptsMax: number, delayMs: number) => void} onReconnecting
 * @property {(cause: "kicked" | "gone" | "taken", detail: string) => void} onEnd over, and not by `leave`
 */

const ENTER = "connector.entryHandler.enter";
const EVERYBODY = "*";
const ATTEMPTS_MAX = 12;
const DELAY_MS_MAX = 15_000;

/** Why somebody did not get in; `message` is for people. */
export class ChatError extends Error {
  /** @param {"unreachable" | "no-server" | "taken" | "refused"} kind @param {string} message */
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

export class ChatSession {
  #gate;
  #listener;
  #options;
  #name = "";
  #room = "";
  /** @type {Client | undefined} */
  #client;
  #over = false;
  /** @type {Set<string>} */
  #users = new Set();
  /** Pushes that came before the list of users they change. @type {(() => void)[] | undefined} */
  #early;
  /** @type {() => void} */
  #hurry = () => {};

  /** @param {string} gate the gate's URL @param {Listener} listener @param {Options} [options] for both connections */
  constructor(gate, listener, options = {}) {
    this.#gate = gate;
    this.#listener = listener;
    this.#options = options;
  }

  get name() { return this.#name; }

  get room() { return this.#room; }

  get users() { return [...this.#users]; }

  get online() { return this.#client?.open ?? false; }

  /** Enters a room; rejects with a ChatError. @param {string} name @param {string} room */
  async join(name, room) {
    this.#name = name;
    this.#room = room;
    await this.#open(false);
  }

  /** Moves to another room on the same connection; rejects with a ChatError. @param {string} room */
  async switchRoom(room) {
    const client = this.#client;
    if (!client?.open) throw new ChatError("unreachable", "There is no connection at the moment.");
    // Pushes before the answer are the old room's, those after it the new one's.
    const onAnswer = () => { this.#early = []; };
    const answer = await this.#ask(client, ENTER, { username: this.#name, rid: room }, { onAnswer });
    if (Array.isArray(answer.users)) {
      this.#room = room;
      this.#entered(answer.users, false);
      return;
    }
    if (answer.error === true) {
      this.#applyEarly();
      throw new ChatError("taken", `The name ${this.#name} is taken in ${room}.`);
    }
    this.#lose(client); // no telling what room this connection is in now: a new one goes back to the old room
    throw new ChatError("refused", `${room} cannot be entered now (code ${answer.code}).`);
  }

  /**
   * Says something to everybody or to one; rejects with a ChatError if it did not arrive. What is said to
   * everybody comes back by `onMessage`, what is said to one does not.
   * @param {string} text @param {string} [target]
   */
  async send(text, target = EVERYBODY) {
    const client = this.#client;
    if (!client?.open) throw new ChatError("unreachable", "There is no connection at the moment.");
    const body = { rid: this.#room, content: text, from: this.#name, target };
    const { code = 200 } = await this.#ask(client, "chat.chatHandler.send", body);
    if (code === 200) return;
    if (target !== EVERYBODY) throw new ChatError("refused", `${target} did not get it (code ${code}).`);
    // The room does not know this member, as after a restart of its server: enter it anew.
    this.#lose(client);
    throw new ChatError("refused", `The room did not take it (code ${code}).`);
  }

  /** Tries the next reconnection now instead of later. */
  retryNow() {
    this.#hurry();
  }

  leave() {
    this.#over = true;
    this.#client?.close();
    this.#hurry();
  }

  /**
   * @param {Client} client @param {string} route @param {unknown} body
   * @param {import("./shaddock.js").RequestOptions} [options]
   * @returns {Promise<any>}
   */
  async #ask(client, route, body, options) {
    try {
      return (await client.request(route, body, options)) ?? {};
    } catch (error) {
      throw asChatError(error);
    }
  }

  /** Gate, connector, room. @param {boolean} again */
  async #open(again) {
    let client;
    try {
      const url = await this.#askGate();
      client = await connect(url, this.#options);
      this.#listenTo(client);
      this.#early = [];
      const answer = await client.request(ENTER, { username: this.#name, rid: this.#room });
      if (answer?.error === true) {
        throw new ChatError("taken", `The name ${this.#name} is taken in ${this.#room}. Please choose another one.`);
      }
      if (!Array.isArray(answer?.users)) {
        throw new ChatError("refused", `${this.#room} cannot be entered now (code ${answer?.code}).`);
      }
      if (this.#over) throw new ChatError("unreachable", "Left while entering.");
      this.#client = client;
      this.#entered(answer.users, again);
    } catch (error) {
      client?.close();
      throw asChatError(error);
    }
  }

  /** The URL of the connector that serves this name. */
  async #askGate() {
    const gate = await connect(this.#gate, this.#options);
    try {
      const { code, host, port } = await gate.request("gate.gateHandler.queryEntry", { uid: this.#name });
      if (code !== 200) throw new ChatError("no-server", "There is no server to log in to. Please wait and try again.");
      const { protocol } = new URL(this.#gate);
      return `${protocol}//${host.includes(":") ? `[${host}]` : host}:${port}/`;
    } finally {
      gate.close();
    }
  }

  /** @param {string[]} users @param {boolean} again */
  #entered(users, again) {
    this.#users = new Set(users);
    this.#listener.onEnter(this.#room, users, again);
    this.#applyEarly();
  }

  #applyEarly() {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const apply of early) apply();
  }

  /** @param {Client} client */
  #listenTo(client) {
    /** @param {string} route @param {(body: any) => void} apply */
    const on = (route, apply) => client.on(route, (body) => {
      if (this.#early) this.#early.push(() => apply(body));
      else apply(body);
    });
    on("onChat", ({ msg, from, target }) => this.#listener.onMessage({ from, target, text: msg }));
    on("onAdd", ({ user }) => {
      if (this.#users.has(user)) return;
      this.#users.add(user);
      this.#listener.onUsers(this.users);
      this.#listener.onJoined(user);
    });
    on("onLeave", ({ user }) => {
      if (!this.#users.delete(user)) return;
      this.#listener.onUsers(this.users);
      this.#listener.onLeft(user);
    });
    client.on("close", ({ cause, reason }) => {
      if (client !== this.#client || this.#over || cause === "local") return;
      if (cause === "kick") this.#end("kicked", reason);
      else this.#lose(client);
    });
  }

  /** Gives up a connection for a new one. @param {Client} client */
  #lose(client) {
    if (client !== this.#client) return;
    this.#client = undefined;
    this.#early = undefined;
    client.close();
    void this.#comeBack();
  }

  /** Reconnects, ever more slowly, until it worked, the attempts are used up, or the user leaves. */
  async #comeBack() {
    /** @type {unknown} */
    let last;
    for (let attempt = 1; attempt <= ATTEMPTS_MAX && !this.#over; attempt++) {
      // Random, so that all the clients of a restarted server do not come at once.
      const delayMs = Math.min(DELAY_MS_MAX, 500 * 2 ** (attempt - 1)) * (0.75 + Math.random() / 2);
      this.#listener.onReconnecting(attempt, ATTEMPTS_MAX, delayMs);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, delayMs);
        this.#hurry = () => { clearTimeout(timer); resolve(undefined); };
      });
      if (this.#over) return;
      try {
        // A name may stay taken until the server misses the heartbeats of the lost connection.
        return await this.#open(true);
      } catch (error) {
        last = error;
      }
    }
    if (this.#over) return;
    const { kind, message } = asChatError(last);
    this.#end(kind === "taken" ? "taken" : "gone", message);
  }

  /** @param {"kicked" | "gone" | "taken"} cause @param {string} detail */
  #end(cause, detail) {
    this.#over = true;
    this.#listener.onEnd(cause, detail);
  }
}

/** @param {unknown} error */
function asChatError(error) {
  if (error instanceof ChatError) return error;
  if (error instanceof ShaddockError) {
    return new ChatError("unreachable", error.code === "unreachable" ? "The server cannot be reached." : error.message);
  }
  return new ChatError("refused", error instanceof Error ? error.message : String(error));
}
