// What the scripts of this folder share: steps that are told as they are done, and waiting with an end.

/** How long anything may take, unless a step says otherwise. */
export const STEP_MS = 10_000;

/** Does one step and prints "ok NAME"; a failure names the step. */
export async function step(name, action) {
  try {
    const result = await action();
    console.log(`ok ${name}`);
    return result;
  } catch (error) {
    throw new Error(`step "${name}": ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

/** Ends the process: 0 if `main` came to its end, else 1 with the reason on stderr. */
export async function run(main) {
  try {
    await main();
    console.log("ok all");
    process.exit(0);
  } catch (error) {
    console.error(`FAILED ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}

export function within(promise, what, ms = STEP_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export function expectEqual(actual, expected, what) {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${what}: got ${left}, expected ${right}`);
}

/** The port given as an argument; ends the process with exit code 2 if it is none. */
export function portArgument(text, usage) {
  if (/^\d{1,5}$/.test(text ?? "")) return Number(text);
  console.error(`usage: ${usage}`);
  process.exit(2);
}

/** Everything that came, in order; `next` takes the oldest, or waits for it. */
export class Inbox {
  #items = [];
  #waiting = [];

  add(item) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(item);
    else this.#items.push(item);
  }

  next(what, ms = STEP_MS) {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return within(new Promise((resolve) => this.#waiting.push(resolve)), what, ms);
  }

  get size() {
    return this.#items.length;
  }
}
