// A WebSocket made here, and the means to play the server at its other end.
import { PackageType, decodeMessage, decodeText, encodePackage, encodeText, splitPackages } from "../wire.js";

/** The socket's other end: what the client sent, and the means to answer. */
export class FakeSocket extends EventTarget {
  static last;
  static all = [];
  readyState = 0;
  bufferedAmount = 0;
  sent = [];
  closedByClient = false;

  constructor(url) {
    super();
    if (url === "bad") throw new SyntaxError("invalid url");
    this.url = url;
    FakeSocket.last = this;
    FakeSocket.all.push(this);
  }
  send(bytes) { this.sent.push(...splitPackages(bytes)); }
  close() { this.readyState = 2; this.closedByClient = true; }
  serverOpens() { this.readyState = 1; this.dispatchEvent(new Event("open")); }
  serverCloses(code = 1006) {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason: "" }));
  }
  serverSends(...packages) {
    const bytes = Buffer.concat(packages.map(([type, body = ""]) => encodePackage(type, typeof body === "string" ? encodeText(body) : body)));
    const { buffer } = Uint8Array.from(bytes);
    this.dispatchEvent(Object.assign(new Event("message"), { data: buffer }));
  }
  types() { return this.sent.map(({ type }) => type); }
  /** The requests and notifies that the client sent, as [id, route, body] with a JSON body. */
  requests() { return this.messages().map(({ id, route, body }) => [id, route, JSON.parse(decodeText(body))]); }
  messages() { return this.sent.filter(({ type }) => type === PackageType.DATA).map(({ body }) => decodeMessage(body)); }
}

/** A response: for `serverSends`. */
export const answer = (id, body) => [PackageType.DATA, Buffer.from([4, id, ...encodeText(body)])];

/** A push with its route as text: for `serverSends`. */
export const push = (route, body) => [PackageType.DATA, Buffer.from([6, route.length, ...encodeText(route + body)])];

/** Lets promises settle; the timers stay where they are. */
export const settle = async () => { for (let i = 0; i < 10; i++) await null; };
