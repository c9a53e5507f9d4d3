// The chat page in headless Chromium: two tabs, one room, and all that people do there.
// usage: node browser.mjs PAGE_URL GATE_PORT [--screenshots DIR] [--chromium PATH] [--expect-kick]
// With --expect-kick it prints "ready-for-kick UID" at the end and expects that user to be kicked within 10 s.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { STEP_MS, expectEqual, portArgument, run, step } from "./steps.mjs";

const USAGE = "node browser.mjs PAGE_URL GATE_PORT [--screenshots DIR] [--chromium PATH] [--expect-kick]";
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

const [pageUrl, gateText, ...rest] = process.argv.slice(2);
const gatePort = portArgument(gateText, USAGE);
const option = (name) => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : undefined);
const screenshots = option("--screenshots");

/** One person's tab, with every WebSocket it opens and every error of the page. */
class Tab {
  sockets = [];
  errors = [];

  constructor(page, name) {
    this.page = page;
    this.name = name;
    page.setDefaultTimeout(STEP_MS);
    page.on("websocket", (socket) => this.sockets.push(socket));
    page.on("pageerror", (error) => this.errors.push(String(error)));
    page.on("console", (message) => { if (message.type() === "error") this.errors.push(message.text()); });
  }

  get openSockets() {
    return this.sockets.filter((socket) => !socket.isClosed());
  }

  async open(room) {
    const url = new URL(pageUrl);
    url.searchParams.set("gate", String(gatePort));
    await this.page.goto(url.href);
    await this.page.getByTestId("name").fill(this.name);
    await this.page.getByTestId("room").fill(room);
    await this.page.getByTestId("join").click();
  }

  async join(room) {
    await this.open(room);
    await this.inRoom(room);
  }

  async inRoom(room) {
    await this.page.locator(`#room-name:text-is("${room}")`).waitFor();
    await this.page.locator('#status[data-state="online"]').waitFor();
  }

  async say(text) {
    await this.page.getByTestId("text").fill(text);
    await this.page.getByTestId("send").click();
  }

  /** Waits for a message and checks that it is there once. */
  async sees(kind, from, text) {
    const found = this.messages(kind, from).filter({ has: this.page.locator(".text", { hasText: text }) });
    await found.first().waitFor();
    expectEqual(await found.count(), 1, `times that ${this.name} sees "${text}"`);
  }

  messages(kind, from) {
    return this.page.locator(`#messages li${kind ? `[data-kind="${kind}"]` : ""}${from ? `[data-from="${from}"]` : ""}`);
  }

  async notes(text) {
    await this.messages("note").filter({ hasText: text }).first().waitFor();
  }

  /** Waits until exactly these people are listed. */
  async listsUsers(...names) {
    const expected = names.sort().join();
    await this.page.waitForFunction((wanted) => [...document.querySelectorAll("#users li")]
      .map((item) => item.dataset.user).sort().join() === wanted, expected);
  }

  async screenshot(name) {
    if (screenshots) await this.page.screenshot({ path: join(screenshots, `${name}.png`) });
  }
}

await run(async () => {
  if (screenshots) mkdirSync(screenshots, { recursive: true });
  const profile = mkdtempSync(join(tmpdir(), "shaddock-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: option("--chromium") ?? "/usr/bin/chromium", headless: true, args: FLAGS, viewport: DESKTOP,
  });
  try {
    await stay(context);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
});

async function stay(context) {
  const room = `room-${process.pid}`;
  const other = `other-${process.pid}`;
  const alice = new Tab(await context.newPage(), "alice");
  const bob = new Tab(await context.newPage(), "bob");

  await step("alice-enters", async () => {
    await alice.join(room);
    await alice.listsUsers("alice");
  });
  await step("bob-enters-and-alice-is-told", async () => {
    await bob.join(room);
    await bob.listsUsers("alice", "bob");
    await alice.listsUsers("alice", "bob");
    await alice.notes("bob came in");
  });
  await step("messages-both-ways", async () => {
    await alice.say("Hello Bob 中文 😀");
    await bob.sees("chat", "alice", "Hello Bob 中文 😀");
    await alice.sees("chat", "alice", "Hello Bob 中文 😀");
    await bob.say("Hi Alice <b>not bold</b>");
    await alice.sees("chat", "bob", "Hi Alice <b>not bold</b>");
    await bob.sees("chat", "bob", "Hi Alice <b>not bold</b>");
  });
  await step("a-name-that-is-taken-is-told", async () => {
    const second = new Tab(await context.newPage(), "alice");
    await second.open(room);
    await second.page.locator("#login-error", { hasText: "taken" }).waitFor();
    expectEqual(second.errors, [], "errors in the second alice's page");
    await second.page.close();
  });
  await step("whisper-to-one", async () => {
    const carol = new Tab(await context.newPage(), "carol");
    await carol.join(room);
    await alice.listsUsers("alice", "bob", "carol");
    await alice.page.locator('#users li[data-user="bob"] button').click();
    await alice.page.locator("#whisper").waitFor();
    await alice.say("only for you");
    await bob.sees("whisper", "alice", "only for you");
    await alice.sees("whisper", "alice", "only for you");
    await alice.page.getByTestId("whisper-end").click();
    await alice.say("for everybody");
    await carol.sees("chat", "alice", "for everybody");
    expectEqual(await carol.messages("whisper").count(), 0, "whispers that carol sees");
    await bob.screenshot("desktop");
    await carol.page.close();
    await alice.notes("carol left");
    await alice.listsUsers("alice", "bob");
  });
  await step("switching-rooms-keeps-the-connection", async () => {
    const [socket, ...more] = bob.openSockets;
    expectEqual(more.length, 0, "further open sockets of bob");
    const opened = bob.sockets.length;
    await bob.page.getByTestId("switch-room").click();
    await bob.page.getByTestId("new-room").fill(other);
    await bob.page.getByTestId("switch-confirm").click();
    await bob.inRoom(other);
    await bob.listsUsers("bob");
    await alice.notes("bob left");
    await alice.listsUsers("alice");
    await bob.say("anybody here?");
    await bob.sees("chat", "bob", "anybody here?");
    expectEqual(await alice.messages("chat").filter({ hasText: "anybody here?" }).count(), 0, "what alice sees of the other room");
    await bob.page.getByTestId("switch-room").click();
    await bob.page.getByTestId("new-room").fill(room);
    await bob.page.getByTestId("switch-confirm").click();
    await bob.inRoom(room);
    await alice.listsUsers("alice", "bob");
    await alice.say("welcome back");
    await bob.sees("chat", "alice", "welcome back");
    expectEqual([socket.isClosed(), bob.sockets.length], [false, opened], "bob's socket is closed, sockets opened");
  });
  await step("a-lost-connection-comes-back", async () => {
    const page = await context.newPage();
    const dave = new Tab(page, "dave");
    const lines = [];
    await page.routeWebSocket(/./, (line) => {
      lines.push([line, line.connectToServer()]);
    });
    await dave.join(room);
    await alice.notes("dave came in");
    for (const [toPage, toServer] of lines.splice(0)) {
      await toServer.close();
      await toPage.close({ code: 1001 });
    }
    await page.getByTestId("banner").waitFor();
    await alice.notes("dave left");
    await dave.notes("You are back");
    await dave.inRoom(room);
    await dave.listsUsers("alice", "bob", "dave");
    await alice.listsUsers("alice", "bob", "dave");
    await alice.say("good to see you again");
    await dave.sees("chat", "alice", "good to see you again");
    await page.close();
    await alice.listsUsers("alice", "bob");
  });
  await step("what-was-begun-as-a-whisper-reaches-nobody-else", async () => {
    const erin = new Tab(await context.newPage(), "erin");
    await erin.join(room);
    await alice.page.locator('#users li[data-user="erin"] button').click();
    await alice.page.getByTestId("text").fill("a secret for erin");
    await erin.page.close();
    await alice.notes("erin left");
    await alice.page.getByTestId("send").click();
    await alice.messages("error").filter({ hasText: "a secret for erin" }).waitFor();
    await alice.page.getByTestId("whisper-end").click();
    await alice.say("for all again");
    await bob.sees("chat", "alice", "for all again");
    expectEqual(await bob.messages().filter({ hasText: "a secret" }).count(), 0, "secrets that bob sees");
  });
  await step("phone", async () => {
    await bob.page.setViewportSize(PHONE);
    await bob.say("A word of one hundred letters must not break the page: ".concat("x".repeat(100)));
    await bob.sees("chat", "bob", "xxx");
    const overflow = await bob.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expectEqual(overflow <= 0, true, "the page fits a phone's width");
    for (const id of ["text", "send", "switch-room", "leave"]) {
      const box = await bob.page.getByTestId(id).boundingBox();
      const inside = box && box.x >= 0 && box.y >= 0 && box.x + box.width <= PHONE.width && box.y + box.height <= PHONE.height;
      expectEqual(inside, true, `#${id} is inside a phone's screen`);
    }
    await bob.screenshot("phone");
  });
  await step("bob-leaves-and-alice-is-told", async () => {
    await bob.page.close();
    await alice.messages("note").filter({ hasText: "bob left" }).nth(1).waitFor();
    await alice.listsUsers("alice");
  });
  if (rest.includes("--expect-kick")) {
    await step("kick", async () => {
      const opened = alice.sockets.length;
      console.log(`ready-for-kick alice*${room}`);
      await alice.page.locator("#login-error", { hasText: "You were removed from the chat" }).waitFor();
      await alice.page.waitForTimeout(1500); // longer than the first reconnection would take
      expectEqual([alice.sockets.length, alice.openSockets.length], [opened, 0], "sockets opened after a kick, sockets open");
    });
  }
  await step("no-errors-in-the-pages", async () => {
    expectEqual([alice.errors, bob.errors], [[], []], "errors of the pages");
  });
}
