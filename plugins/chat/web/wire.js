// @ts-check
/**
 * The bytes of pomelo's client protocol: packages (4-byte head, body) and the messages inside
 * DATA packages. No I/O, no state; protobuf bodies are in protobuf.js.
 */

/** Package types: the first byte of each package. */
export const PackageType = Object.freeze({
  HANDSHAKE: 1, HANDSHAKE_ACK: 2, HEARTBEAT: 3, DATA: 4, KICK: 5,
});

/** Message types: bits 1 to 3 of a message's first byte. */
export const MessageType = Object.freeze({ REQUEST: 0, NOTIFY: 1, RESPONSE: 2, PUSH: 3 });

/** The largest request id: ids are signed 32-bit numbers in pomelo, and 0 asks for no answer. */
export const REQUEST_ID_MAX = 0x7fffffff;

const HEAD_BYTES = 4;
const BODY_BYTES_MAX = 0xffffff;
const ROUTE_BYTES_MAX = 0xff;

const encoder = new TextEncoder();
const decoder = new TextDecoder(); // lenient: bad bytes become U+FFFD, as in every pomelo server

/** What went wrong, for programs (`code`) and for people (`message`). Codes: see shaddock.d.ts. */
export class ShaddockError extends Error {
  /**
   * @param {import("./shaddock.js").ErrorCode} code
   * @param {string} message
   * @param {number} [status] the server's code, for a refused handshake
   */
  constructor(code, message, status) {
    super(message);
    this.name = "ShaddockError";
    this.code = code;
    this.status = status;
  }
}

/** @param {string} text */
export const encodeText = (text) => encoder.encode(text);

/** @param {Uint8Array} bytes */
export const decodeText = (bytes) => decoder.decode(bytes);

/**
 * One package, ready to send.
 * @param {number} type a PackageType
 * @param {Uint8Array} [body]
 */
export function encodePackage(type, body = new Uint8Array(0)) {
  if (body.length > BODY_BYTES_MAX) {
    throw new ShaddockError("encode", `package body of ${body.length} bytes; the protocol allows ${BODY_BYTES_MAX}`);
  }
  const out = new Uint8Array(HEAD_BYTES + body.length);
  out.set([type, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]);
  out.set(body, HEAD_BYTES);
  return out;
}

/**
 * The packages of one WebSocket frame; a server may put several into one.
 * @param {Uint8Array} frame
 * @returns {Generator<{type: number, body: Uint8Array}>}
 */
export function* splitPackages(frame) {
  for (let at = 0; at < frame.length;) {
    if (frame.length - at < HEAD_BYTES) throw new ShaddockError("decode", "frame ends inside a package head");
    const [type = 0, high = 0, middle = 0, low = 0] = frame.subarray(at, at + HEAD_BYTES);
    const start = at + HEAD_BYTES;
    at = start + ((high << 16) | (middle << 8) | low);
    if (at > frame.length) throw new ShaddockError("decode", "frame ends inside a package body");
    if (type < PackageType.HANDSHAKE || type > PackageType.KICK) {
      throw new ShaddockError("decode", `unknown package type ${type}`);
    }
    yield { type, body: frame.subarray(start, at) };
  }
}

/**
 * A REQUEST (id above 0) or NOTIFY (id 0): what a client sends.
 * @param {number} id
 * @param {string} route
 * @param {number | undefined} routeCode the route's number in the dictionary, if it is there
 * @param {Uint8Array} body
 */
export function encodeMessage(id, route, routeCode, body) {
  const head = [((id ? MessageType.REQUEST : MessageType.NOTIFY) << 1) | (routeCode === undefined ? 0 : 1)];
  for (let rest = id; rest > 0; rest = Math.floor(rest / 128)) head.push((rest % 128) + (rest > 127 ? 128 : 0));
  /** @type {ArrayLike<number>} */
  let name = [];
  if (routeCode === undefined) {
    name = encodeText(route);
    if (name.length === 0 || name.length > ROUTE_BYTES_MAX) {
      throw new ShaddockError("encode", `route of ${name.length} bytes; allowed are 1 to ${ROUTE_BYTES_MAX}: ${route.slice(0, 60)}`);
    }
    head.push(name.length);
  } else {
    head.push(routeCode >> 8, routeCode & 0xff);
  }
  const out = new Uint8Array(head.length + name.length + body.length);
  out.set(head);
  out.set(name, head.length);
  out.set(body, head.length + name.length);
  return out;
}

/**
 * Any message. `id` is 0 where the type has none; `route` is a string, a dictionary code, or
 * undefined for a RESPONSE.
 * @param {Uint8Array} bytes
 * @returns {{type: number, id: number, route: string | number | undefined, body: Uint8Array}}
 */
export function decodeMessage(bytes) {
  let at = 0;
  const next = () => {
    const byte = bytes[at++];
    if (byte === undefined) throw new ShaddockError("decode", "message ends inside its head");
    return byte;
  };
  const flag = next();
  const type = (flag >> 1) & 0x7;
  if (type > MessageType.PUSH) throw new ShaddockError("decode", `unknown message type ${type}`);
  let id = 0;
  if (type === MessageType.REQUEST || type === MessageType.RESPONSE) {
    for (let unit = 1, more = true; more; unit *= 128) {
      const byte = next();
      id += (byte & 0x7f) * unit;
      more = byte > 127;
      if (id > REQUEST_ID_MAX || unit > REQUEST_ID_MAX) throw new ShaddockError("decode", "message id above 2^31-1");
    }
  }
  /** @type {string | number | undefined} */
  let route;
  if (type !== MessageType.RESPONSE) {
    if (flag & 1) {
      route = (next() << 8) | next();
    } else {
      const length = next();
      if (at + length > bytes.length) throw new ShaddockError("decode", "message ends inside its route");
      route = decodeText(bytes.subarray(at, at + length));
      at += length;
    }
  }
  return { type, id, route, body: bytes.subarray(at) };
}
