// The test page: one connection, messages out, answers and pushes in.
import { connect } from "./shaddock.js";

const ENTRIES_MAX = 200;
const RETRY_MS = 1000;

const element = (id) => document.getElementById(id);
const form = element("form");
const routeField = element("route");
const bodyField = element("body");
const bodyError = element("body-error");
const frontend = element("frontend");
const log = element("log");

let client;
let wanted = 0; // counts the connections that were asked for: only the latest one counts

/** Adds an entry at the top. */
function tell(kind, route, body, took) {
  const item = document.createElement("li");
  item.dataset.kind = kind;
  item.dataset.route = route;
  const head = document.createElement("div");
  head.className = "head";
  const time = new Date().toLocaleTimeString();
  for (const [name, text] of [["kind", kind], ["route", route], ["took", took === undefined ? time : `${took.toFixed(1)} ms · ${time}`]]) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    head.append(part);
  }
  item.append(head);
  if (body !== undefined) {
    const json = document.createElement("pre");
    json.className = "json";
    json.textContent = typeof body === "string" ? body : JSON.stringify(body, null, 2);
    item.append(json);
  }
  log.prepend(item);
  while (log.children.length > ENTRIES_MAX) log.lastElementChild.remove();
  element("empty").hidden = true;
}

function show(state) {
  element("status").dataset.state = state;
  element("status").textContent = state;
  for (const id of ["request", "notify"]) element(id).disabled = state !== "online";
}

/** Connects to the frontend that is chosen, again and again until it is there. */
async function connectTo() {
  const number = ++wanted;
  client?.close();
  show("connecting");
  while (number === wanted) {
    try {
      const connected = await connect(frontend.value);
      if (number !== wanted) return connected.close();
      client = connected;
      client.on("push", ({ route, body }) => tell("push", route, body));
      client.on("error", (error) => tell("error", "", error.message));
      client.on("kick", ({ reason }) => tell("note", "", `kicked: ${reason}`));
      client.on("close", ({ cause }) => {
        if (number !== wanted) return;
        show("offline");
        if (cause === "kick") return;
        tell("note", "", "the connection is lost; connecting anew");
        connectTo();
      });
      return show("online");
    } catch {
      show("offline");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** The message of the form; none if it cannot be sent. */
function message() {
  bodyError.hidden = true;
  const route = routeField.value.trim();
  try {
    if (route === "") throw new Error("A message needs a route.");
    const body = JSON.parse(bodyField.value.trim() || "{}");
    remember(route);
    return { route, body };
  } catch (error) {
    bodyError.textContent = error instanceof SyntaxError ? `The body is no JSON: ${error.message}` : error.message;
    bodyError.hidden = false;
    return undefined;
  }
}

/** Routes that were used are offered again, and the last message is there after a reload. */
function remember(route) {
  sessionStorage.setItem("message", JSON.stringify({ route, body: bodyField.value }));
  if ([...element("routes").options].some((option) => option.value === route)) return;
  const option = document.createElement("option");
  option.value = route;
  element("routes").append(option);
}

async function request() {
  const sent = message();
  if (!sent || element("request").disabled) return;
  const { route, body } = sent;
  tell("request", route, body);
  const begun = performance.now();
  try {
    const answer = await client.request(route, body);
    const failed = typeof answer?.code === "number" && answer.code >= 400;
    tell(failed ? "error" : "answer", route, answer, performance.now() - begun);
  } catch (error) {
    tell("error", route, error.message);
  }
}

function notify() {
  const sent = message();
  if (!sent) return;
  try {
    client.notify(sent.route, sent.body);
    tell("notify", sent.route, sent.body);
  } catch (error) {
    tell("error", sent.route, error.message);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  request();
});
bodyField.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) request();
});
element("notify").addEventListener("click", notify);
element("connect").addEventListener("click", connectTo);
frontend.addEventListener("change", connectTo);
element("clear").addEventListener("click", () => {
  log.replaceChildren();
  element("empty").hidden = false;
});

const cluster = await (await fetch("cluster.json")).json();
element("plugin").textContent = `of ${cluster.plugin}`;
for (const { id, url } of cluster.frontends) {
  const option = document.createElement("option");
  option.value = url;
  option.textContent = `${id} (${url})`;
  frontend.append(option);
}
const given = new URLSearchParams(location.search);
const last = JSON.parse(sessionStorage.getItem("message") ?? "{}");
routeField.value = given.get("route") ?? last.route ?? "";
bodyField.value = given.get("body") ?? last.body ?? "{}";
await connectTo();
