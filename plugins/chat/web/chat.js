// @ts-check
/** The chat page: what the elements of index.html show and do. */
import { ChatError, ChatSession } from "./chat-session.js";
import { MessageList } from "./message-list.js";

const NAME = /^[\p{L}\p{M}\p{N}_-]{1,20}$/u;
const NAME_RULE = "1 to 20 letters, digits, _\u00a0or\u00a0-";

/** @template {HTMLElement} T @param {string} id @param {{new (): T}} type @returns {T} */
function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} #${id}`);
  return found;
}

const page = {
  login: element("login", HTMLElement),
  loginForm: element("login-form", HTMLFormElement),
  name: element("name", HTMLInputElement),
  room: element("room", HTMLInputElement),
  join: element("join", HTMLButtonElement),
  loginError: element("login-error", HTMLElement),
  chat: element("chat", HTMLElement),
  roomName: element("room-name", HTMLElement),
  ownName: element("own-name", HTMLElement),
  status: element("status", HTMLElement),
  banner: element("banner", HTMLElement),
  bannerText: element("banner-text", HTMLElement),
  users: element("users", HTMLUListElement),
  userCount: element("user-count", HTMLElement),
  composer: element("composer", HTMLFormElement),
  text: element("text", HTMLTextAreaElement),
  send: element("send", HTMLButtonElement),
  whisper: element("whisper", HTMLElement),
  whisperTo: element("whisper-to", HTMLElement),
  whisperNote: element("whisper-note", HTMLElement),
  switchDialog: element("switch-dialog", HTMLDialogElement),
  switchForm: element("switch-form", HTMLFormElement),
  switchConfirm: element("switch-confirm", HTMLButtonElement),
  newRoom: element("new-room", HTMLInputElement),
  switchError: element("switch-error", HTMLElement),
};
const messages = new MessageList(
  element("messages", HTMLOListElement), element("empty", HTMLElement), element("newer", HTMLButtonElement),
);

/** @type {ChatSession | undefined} */
let session;
/** Whom the next message is for; undefined is everybody. @type {string | undefined} */
let whisperTarget;
let unseen = 0;

function gateUrl() {
  const gate = new URLSearchParams(location.search).get("gate") ?? "3014";
  if (!/^\d+$/.test(gate)) return gate;
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.hostname || "127.0.0.1"}:${gate}/`;
}

/** The browser may forbid storage; the page does without, then. */
function storage() {
  try {
    return window.localStorage;
  } catch {
    return undefined;
  }
}

// --- what is shown ---

/** @param {"login" | "chat"} view */
function showView(view) {
  document.body.dataset.view = view;
  page.login.hidden = view !== "login";
  page.chat.hidden = view !== "chat";
}

/** @param {HTMLElement} place @param {string} text nothing hides it */
function showError(place, text) {
  place.textContent = text;
  place.hidden = text === "";
}

/** @param {"connecting" | "online" | "reconnecting"} state */
function showState(state) {
  page.status.dataset.state = state;
  page.status.textContent = { connecting: "Connecting", online: "Online", reconnecting: "Offline" }[state];
  page.banner.hidden = state !== "reconnecting";
  page.send.disabled = state !== "online";
}

function showTitle() {
  const room = session?.room;
  document.title = `${unseen ? `(${unseen}) ` : ""}${room ? `${room} – ` : ""}Shaddock chat`;
}

/** @param {string[]} users */
function showUsers(users) {
  const own = session?.name ?? "";
  const others = users.filter((user) => user !== own).sort((a, b) => a.localeCompare(b));
  const focused = document.activeElement?.closest("li")?.dataset.user;
  page.users.replaceChildren(...[own, ...others].map((user) => userItem(user, user === own)));
  page.userCount.textContent = String(others.length + 1);
  const refocus = focused && page.users.querySelector(`li[data-user="${CSS.escape(focused)}"] button`);
  if (refocus instanceof HTMLElement) refocus.focus();
  showWhisperNote();
}

/** @param {string} user @param {boolean} own */
function userItem(user, own) {
  const item = document.createElement("li");
  item.dataset.user = user;
  item.dataset.own = String(own);
  const button = document.createElement("button");
  button.type = "button";
  button.disabled = own;
  button.setAttribute("aria-pressed", String(user === whisperTarget));
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = user;
  button.append(messages.avatar(user), name);
  if (own) button.append(Object.assign(document.createElement("span"), { className: "you", textContent: "you" }));
  else button.title = `Whisper to ${user}`;
  button.addEventListener("click", () => whisperTo(user === whisperTarget ? undefined : user));
  item.append(button);
  return item;
}

/** @param {string | undefined} user */
function whisperTo(user) {
  whisperTarget = user;
  page.whisper.hidden = user === undefined;
  page.whisperTo.textContent = user ?? "";
  page.composer.dataset.mode = user === undefined ? "chat" : "whisper";
  page.text.placeholder = user === undefined ? "Message" : `Whisper to ${user}`;
  for (const button of page.users.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.closest("li")?.dataset.user === user));
  }
  showWhisperNote();
  if (user !== undefined) page.text.focus();
}

/**
 * Somebody who goes stays the target until the user says otherwise: what was begun as a whisper must not
 * reach everybody.
 */
function showWhisperNote() {
  if (whisperTarget === undefined) return;
  const here = session?.users.includes(whisperTarget);
  page.whisperNote.textContent = here ? "nobody else will see it" : "not here now, and will not get it";
}

/** @param {boolean} own */
function countUnseen(own) {
  if (own || document.visibilityState === "visible") return;
  unseen++;
  showTitle();
}

// --- what the chat tells ---

/** @returns {import("./chat-session.js").Listener} */
function listener() {
  return {
    onEnter(room, users, again) {
      showView("chat");
      showState("online");
      page.roomName.textContent = room;
      page.roomName.title = room;
      page.ownName.textContent = session?.name ?? "";
      if (!again) messages.clear();
      messages.note(again ? "You are back" : `You entered ${room}`);
      if (!again && page.text.value === "") whisperTo(undefined);
      showUsers(users);
      showTitle();
    },
    onUsers: showUsers,
    onJoined(user) {
      messages.note(`${user} came in`);
    },
    onLeft(user) {
      messages.note(`${user} left`);
    },
    onMessage({ from, target, text }) {
      const own = from === session?.name;
      messages.add({ from, text, own, target: target === "*" ? undefined : target });
      countUnseen(own);
    },
    onReconnecting(attempt, attemptsMax, delayMs) {
      showState("reconnecting");
      const when = delayMs < 1000 ? "now" : `in ${Math.round(delayMs / 1000)} s`;
      page.bannerText.textContent = `Connection lost. Reconnecting ${when} (attempt ${attempt} of ${attemptsMax}).`;
    },
    onEnd(cause, detail) {
      backToLogin({
        kicked: detail ? `You were removed from the chat: ${detail}` : "You were removed from the chat.",
        taken: detail,
        gone: `The connection was lost and did not come back. ${detail}`,
      }[cause]);
    },
  };
}

/** @param {string} why */
function backToLogin(why) {
  session = undefined;
  unseen = 0;
  setText("");
  whisperTo(undefined);
  if (page.switchDialog.open) page.switchDialog.close();
  showView("login");
  showTitle();
  showError(page.loginError, why);
  page.name.focus();
}

// --- what the user does ---

/** The text of a name's field, or undefined after telling what is wrong with it. @param {HTMLInputElement} input @param {HTMLElement} error */
function validName(input, error) {
  const value = input.value.trim().normalize("NFC");
  const valid = NAME.test(value);
  input.setAttribute("aria-invalid", String(!valid));
  if (valid) return value;
  showError(error, `${input.labels?.[0]?.textContent}: ${NAME_RULE}.`);
  input.focus();
  return undefined;
}

page.loginForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (page.join.disabled) return;
  showError(page.loginError, "");
  const name = validName(page.name, page.loginError);
  const room = name && validName(page.room, page.loginError);
  if (!name || !room) return;
  page.join.disabled = true;
  page.join.textContent = "Entering…";
  showState("connecting");
  session = new ChatSession(gateUrl(), listener(), { cache: storage(), requestTimeoutMs: 10_000 });
  try {
    await session.join(name, room);
    storage()?.setItem("chat:name", name);
    storage()?.setItem("chat:room", room);
    page.text.focus();
  } catch (error) {
    session = undefined;
    showError(page.loginError, messageOf(error));
  } finally {
    page.join.disabled = false;
    page.join.textContent = "Enter the room";
  }
});

page.composer.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = page.text.value.trim();
  const target = whisperTarget;
  const from = session?.name ?? "";
  if (!session?.online || text === "") return;
  setText("");
  try {
    await session.send(text, target);
    // The server tells what was said to everybody, but not what one whispers oneself.
    if (target !== undefined) messages.add({ from, text, own: true, target });
  } catch (error) {
    messages.note(`Not delivered: “${text}”. ${messageOf(error)}`, true);
    if (page.text.value === "" && whisperTarget === target) setText(text);
  }
});

/** @param {string} text */
function setText(text) {
  page.text.value = text;
  fitText();
}

/** The field grows with what is written, up to the height that the style allows. */
function fitText() {
  page.text.style.height = "auto";
  page.text.style.height = `${page.text.scrollHeight + 2}px`;
}

for (const input of [page.name, page.room, page.newRoom]) {
  input.addEventListener("input", () => input.removeAttribute("aria-invalid"));
}
page.text.addEventListener("input", fitText);
page.text.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && whisperTarget !== undefined) whisperTo(undefined);
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  page.composer.requestSubmit();
});
element("whisper-end", HTMLButtonElement).addEventListener("click", () => {
  whisperTo(undefined);
  page.text.focus();
});

element("switch-room", HTMLButtonElement).addEventListener("click", () => {
  page.newRoom.value = "";
  showError(page.switchError, "");
  page.switchDialog.showModal();
});
element("switch-cancel", HTMLButtonElement).addEventListener("click", () => page.switchDialog.close());
page.switchForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  showError(page.switchError, "");
  const room = validName(page.newRoom, page.switchError);
  if (!room || !session || page.switchConfirm.disabled) return;
  if (room === session.room) return showError(page.switchError, `You are in ${room} already.`);
  page.switchConfirm.disabled = true;
  try {
    await session.switchRoom(room);
    storage()?.setItem("chat:room", room);
    page.switchDialog.close();
    page.text.focus();
  } catch (error) {
    showError(page.switchError, messageOf(error));
  } finally {
    page.switchConfirm.disabled = false;
  }
});

element("leave", HTMLButtonElement).addEventListener("click", () => {
  session?.leave();
  backToLogin("");
});
element("retry", HTMLButtonElement).addEventListener("click", () => session?.retryNow());
window.addEventListener("online", () => session?.retryNow());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  unseen = 0;
  showTitle();
});

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof ChatError ? error.message : `Something went wrong: ${error}`;
}

const asked = new URLSearchParams(location.search);
page.name.value = asked.get("name") ?? storage()?.getItem("chat:name") ?? "";
page.room.value = asked.get("room") ?? storage()?.getItem("chat:room") ?? "";
showState("connecting");
(page.name.value ? page.room : page.name).focus();
