/**
 * The globals that an engine without an operating system lacks, made of what the host offers. Without them a clock that
 * is read ends the instance, and every instance draws the same random numbers.
 */
import host from "shaddock:plugin/app@0.1.0";

declare global {
  /** Writes to the server's log. */
  var console: Record<"debug" | "info" | "log" | "warn" | "error", (...values: unknown[]) => void>;
  var TextEncoder: { new (): { encode(text?: string): Uint8Array } };
  var TextDecoder: { new (): { decode(bytes?: Uint8Array): string } };
  interface Uint8ArrayConstructor {
    fromBase64(text: string): Uint8Array<ArrayBuffer>;
  }
  interface Uint8Array {
    toBase64(): string;
  }
  function atob(text: string): string;
  function btoa(units: string): string;
  function escape(text: string): string;
  function unescape(text: string): string;
}

const shown = (value: unknown): string => {
  if (value instanceof Error) return `${value}\n${value.stack ?? ""}`.trimEnd();
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
};
const log = (level: "debug" | "info" | "warn" | "error") => (...values: unknown[]) =>
  host.log(level, values.map(shown).join(" ").toWellFormed());

globalThis.console = {
  debug: log("debug"),
  info: log("info"),
  log: log("info"),
  warn: log("warn"),
  error: log("error"),
};

const BEYOND_ASCII = /[^\0-\x7f]/;

/** UTF-8; a lone surrogate is a URIError. Base64, as the engine has it, is many times as fast as a loop over bytes. */
globalThis.TextEncoder = class {
  encode(text = "") {
    return Uint8Array.fromBase64(btoa(BEYOND_ASCII.test(text) ? unescape(encodeURIComponent(text)) : text));
  }
};

/** UTF-8; what is none is a URIError. */
globalThis.TextDecoder = class {
  decode(bytes = new Uint8Array()) {
    const units = atob(bytes.toBase64());
    return BEYOND_ASCII.test(units) ? decodeURIComponent(escape(units)) : units;
  }
};

Math.random = () => {
  const bytes = host.randomBytes(7);
  return bytes.reduce((sum, byte, at) => sum + (at < 6 ? byte : byte & 0x1f) * 2 ** (8 * at), 0) / 2 ** 53;
};

const EngineDate = globalThis.Date;
globalThis.Date = new Proxy(EngineDate, {
  construct: (target, args, subclass) => Reflect.construct(target, args.length ? args : [host.nowMs()], subclass),
  apply: () => new EngineDate(host.nowMs()).toString(),
});
EngineDate.now = () => host.nowMs();
