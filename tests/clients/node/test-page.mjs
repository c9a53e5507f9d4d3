// The test page of `shaddock dev` in headless Chromium: a request, a notify, a push, a refusal, and bodies that make no sense.
// usage: node test-page.mjs PAGE_URL [--screenshots DIR] [--chromium PATH]
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { expectEqual, run, step } from "./steps.mjs";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage"];
const WAIT_MS = 30_000;
const ROUTE = "connector.helloHandler.greet";

const [pageUrl, ...rest] = process.argv.slice(2);
const option = (name) => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : undefined);
const screenshots = option("--screenshots");

await run(async () => {
  if (screenshots) mkdirSync(screenshots, { recursive: true });
  const profile = mkdtempSync(join(tmpdir(), "shaddock-browser-"));
  const executablePath = option("--chromium") ?? process.env.SHADDOCK_CHROMIUM ?? "/usr/bin/chromium";
  const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS, viewport: { width: 1100, height: 700 } });
  try {
    await tryOut(await context.newPage());
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
});

async function tryOut(page) {
  const errors = [];
  page.setDefaultTimeout(WAIT_MS);
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
  const entry = (kind, text) => page.locator(`#log li[data-kind="${kind}"]`).filter({ hasText: text });

  await step("it-connects", async () => {
    await page.goto(pageUrl);
    await page.locator('#status[data-state="online"]').waitFor();
    expectEqual(await page.locator("#frontend option").count(), 1, "frontends to choose from");
  });
  await step("a-request-shows-its-answer-and-the-push", async () => {
    await page.locator("#route").fill(ROUTE);
    await page.locator("#body").fill('{ "name": "Ada <b>" }');
    await page.locator("#request").click();
    await entry("answer", "Hello, Ada <b>!").waitFor();
    await entry("push", "onGreet").filter({ hasText: '"visits": 1' }).waitFor();
    await entry("request", ROUTE).waitFor();
  });
  await step("a-notify-has-no-answer", async () => {
    await page.locator("#notify").click();
    await entry("notify", ROUTE).waitFor();
    await entry("push", '"visits": 2').waitFor();
    expectEqual(await page.locator('#log li[data-kind="answer"]').count(), 1, "answers");
  });
  await step("a-refusal-is-shown-as-an-error", async () => {
    await page.locator("#body").fill('{ "name": "" }');
    await page.locator("#body").press("Control+Enter");
    await entry("error", '"code": 400').waitFor();
  });
  await step("what-is-no-json-is-not-sent", async () => {
    const before = await page.locator("#log li").count();
    await page.locator("#body").fill("{ name: 1 }");
    await page.locator("#request").click();
    await page.locator("#body-error", { hasText: "no JSON" }).waitFor();
    expectEqual(await page.locator("#log li").count(), before, "entries of the log");
  });
  await step("the-last-message-is-there-after-a-reload", async () => {
    await page.locator("#body").fill('{ "name": "Bob" }');
    await page.locator("#request").click();
    await entry("answer", "Hello, Bob!").waitFor();
    if (screenshots) await page.screenshot({ path: join(screenshots, "test-page.png") });
    await page.reload();
    await page.locator('#status[data-state="online"]').waitFor();
    expectEqual(await page.locator("#route").inputValue(), ROUTE, "the route");
    await page.locator("#connect").click();
    await page.locator('#status[data-state="online"]').waitFor();
    await page.locator("#request").click();
    await entry("answer", "Hello, Bob!").waitFor();
  });
  await step("no-errors-in-the-page", async () => expectEqual(errors, [], "errors of the page"));
}
