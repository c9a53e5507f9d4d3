// @ts-check
/**
 * pomelo's protobuf, which is not Google's: schemas come as JSON in the handshake, repeated numbers
 * carry an element count, int32 is zigzag like sInt32, and fields are written in the order of the
 * object's keys. Types: uInt32, sInt32, int32, float, double, string, messages.
 */
import { ShaddockError, decodeText, encodeText } from "./wire.js";

/**
 * @typedef {{option: "required" | "optional" | "repeated", type: string, tag: number}} Field
 * @typedef {{[name: string]: any}} Schema one message: fields by name, `__messages`, `__tags`
 * @typedef {{[route: string]: Schema}} Schemas all messages of one direction
 */

const DEPTH_MAX = 32;
const WIRE_VARINT = 0;
const WIRE_DOUBLE = 1;
const WIRE_LENGTH = 2;
const WIRE_FLOAT = 5;

/** @type {{[type: string]: number}} */
const NUMBER_WIRES = { uInt32: WIRE_VARINT, sInt32: WIRE_VARINT, int32: WIRE_VARINT, float: WIRE_FLOAT, double: WIRE_DOUBLE };

/**
 * @param {Schemas} schemas
 * @param {string} route
 * @returns {Schema | undefined}
 */
export function schemaOf(schemas, route) {
  return Object.hasOwn(schemas, route) ? schemas[route] : undefined;
}

/**
 * A nested message of the schema, else a global one.
 * @param {Schemas} schemas
 * @param {Schema} schema
 * @param {string} type
 * @param {number} depth
 */
function messageType(schemas, schema, type, depth) {
  const nested = schema.__messages ?? {};
  const found = Object.hasOwn(nested, type) ? nested[type] : schemaOf(schemas, `message ${type}`);
  if (!found) throw new ShaddockError("decode", `the schema names an unknown type ${type}`);
  if (depth > DEPTH_MAX) throw new ShaddockError("decode", `messages nested deeper than ${DEPTH_MAX}`);
  return found;
}

/**
 * @param {Schemas} schemas
 * @param {string} route
 * @param {unknown} body
 * @returns {Uint8Array}
 */
export function encodeBody(schemas, route, body) {
  /** @type {number[]} */
  const out = [];
  encodeFields(out, schemas, schemas[route] ?? {}, body, route, 0);
  return Uint8Array.from(out);
}

/**
 * @param {number[]} out
 * @param {Schemas} schemas
 * @param {Schema} schema
 * @param {unknown} body
 * @param {string} path for errors
 * @param {number} depth
 */
function encodeFields(out, schemas, schema, body, path, depth) {
  if (typeof body !== "object" || body === null) throw new ShaddockError("encode", `${path}: must be an object`);
  const values = new Map(Object.entries(body).filter(([, value]) => value !== undefined && value !== null));
  for (const [name, field] of Object.entries(schema)) { // __messages and __tags have no option
    if (field.option === "required" && !values.has(name)) throw new ShaddockError("encode", `${path}.${name}: is required`);
  }
  for (const [name, value] of values) {
    /** @type {Field | undefined} */
    const field = Object.hasOwn(schema, name) && !name.startsWith("__") ? schema[name] : undefined;
    if (!field) continue; // not in the schema: pomelo leaves it out, too
    const wire = NUMBER_WIRES[field.type] ?? WIRE_LENGTH;
    const head = field.tag * 8 + wire;
    const put = (/** @type {unknown} */ item) => encodeValue(out, schemas, schema, field.type, item, `${path}.${name}`, depth);
    if (field.option !== "repeated") {
      putVarint(out, head);
      put(value);
      continue;
    }
    if (!Array.isArray(value)) throw new ShaddockError("encode", `${path}.${name}: must be an array`);
    if (wire !== WIRE_LENGTH && value.length > 0) {
      putVarint(out, head);
      putVarint(out, value.length);
    }
    for (const item of value) {
      if (wire === WIRE_LENGTH) putVarint(out, head);
      put(item);
    }
  }
}

/**
 * @param {number[]} out
 * @param {Schemas} schemas
 * @param {Schema} schema
 * @param {string} type
 * @param {unknown} value
 * @param {string} path
 * @param {number} depth
 */
function encodeValue(out, schemas, schema, type, value, path, depth) {
  if (type === "string") {
    if (typeof value !== "string") throw new ShaddockError("encode", `${path}: must be a string`);
    putBytes(out, encodeText(value));
  } else if (type === "float" || type === "double") {
    const bytes = new Uint8Array(type === "float" ? 4 : 8);
    const view = new DataView(bytes.buffer);
    if (typeof value !== "number") throw new ShaddockError("encode", `${path}: must be a number`);
    if (type === "float") view.setFloat32(0, value, true);
    else view.setFloat64(0, value, true);
    out.push(...bytes);
  } else if (type in NUMBER_WIRES) {
    const whole = Math.trunc(Number(value));
    // Despite their names, pomelo's integers carry whatever a varint of 53 bits holds.
    const [low, high] = type === "uInt32" ? [0, Number.MAX_SAFE_INTEGER] : [-(2 ** 52), 2 ** 52 - 1];
    if (typeof value !== "number" || !(whole >= low && whole <= high)) {
      throw new ShaddockError("encode", `${path}: must be a number from ${low} to ${high}`);
    }
    putVarint(out, type === "uInt32" ? whole : whole < 0 ? -2 * whole - 1 : 2 * whole);
  } else {
    /** @type {number[]} */
    const inner = [];
    encodeFields(inner, schemas, messageType(schemas, schema, type, depth), value, path, depth + 1);
    putBytes(out, inner);
  }
}

/** @param {number[]} out @param {number} value whole, from 0 to 2^53-1 */
function putVarint(out, value) {
  for (; value > 127; value = Math.floor(value / 128)) out.push((value % 128) + 128);
  out.push(value);
}

/** @param {number[]} out @param {ArrayLike<number>} bytes */
function putBytes(out, bytes) {
  putVarint(out, bytes.length);
  for (let i = 0; i < bytes.length; i++) out.push(bytes[i] ?? 0);
}

/**
 * @param {Schemas} schemas
 * @param {string} route
 * @param {Uint8Array} bytes
 * @returns {{[name: string]: unknown}}
 */
export function decodeBody(schemas, route, bytes) {
  return new Reader(schemas, bytes).message(schemas[route] ?? {}, bytes.length, 0);
}

class Reader {
  #at = 0;
  #schemas;
  #bytes;
  #view;

  /** @param {Schemas} schemas @param {Uint8Array} bytes */
  constructor(schemas, bytes) {
    this.#schemas = schemas;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * @param {Schema} schema
   * @param {number} end
   * @param {number} depth
   */
  message(schema, end, depth) {
    /** @type {{[name: string]: any}} */
    const message = {};
    while (this.#at < end) {
      const tag = Math.floor(this.#varint() / 8);
      const name = schema.__tags?.[tag];
      if (name === undefined) throw new ShaddockError("decode", `unknown protobuf tag ${tag}`);
      /** @type {Field} */
      const field = schema[name];
      if (field.option !== "repeated") {
        message[name] = this.#value(schema, field.type, depth);
        continue;
      }
      const list = (message[name] ??= []);
      const count = field.type in NUMBER_WIRES ? this.#length() : 1;
      for (let i = 0; i < count; i++) list.push(this.#value(schema, field.type, depth));
    }
    if (this.#at !== end) throw new ShaddockError("decode", "a protobuf field runs over the end of its message");
    return message;
  }

  /**
   * @param {Schema} schema
   * @param {string} type
   * @param {number} depth
   */
  #value(schema, type, depth) {
    switch (type) {
      case "uInt32": return this.#varint();
      case "sInt32":
      case "int32": {
        const value = this.#varint();
        return value % 2 ? -(value + 1) / 2 : value / 2;
      }
      case "float": return this.#view.getFloat32(this.#skip(4), true);
      case "double": return this.#view.getFloat64(this.#skip(8), true);
      case "string": {
        const length = this.#length();
        const start = this.#skip(length);
        return decodeText(this.#bytes.subarray(start, start + length));
      }
      default: {
        const length = this.#length();
        return this.message(messageType(this.#schemas, schema, type, depth), this.#at + length, depth + 1);
      }
    }
  }

  /** A byte length or an element count: never more than there are bytes left. */
  #length() {
    const length = this.#varint();
    if (length > this.#bytes.length - this.#at) throw new ShaddockError("decode", "protobuf body is too short");
    return length;
  }

  /** Moves on by `length` bytes; where they begin. @param {number} length */
  #skip(length) {
    const start = this.#at;
    if (length > this.#bytes.length - start) throw new ShaddockError("decode", "protobuf body is too short");
    this.#at += length;
    return start;
  }

  #varint() {
    let value = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = this.#bytes[this.#skip(1)] ?? 0;
      value += (byte & 0x7f) * unit;
      if (value > Number.MAX_SAFE_INTEGER || unit > Number.MAX_SAFE_INTEGER) throw new ShaddockError("decode", "protobuf number above 2^53-1");
      if (byte < 128) return value;
    }
  }
}
