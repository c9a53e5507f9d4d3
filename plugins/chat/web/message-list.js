// @ts-check
/** The list of messages: grouped by sender, bounded, and kept at its end while the reader is there. */

const MESSAGES_MAX = 500;
const GROUP_MS = 3 * 60_000;
const NEAR_END_PX = 80;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** @typedef {{from: string, text: string, own: boolean, target?: string | undefined}} Line `target`: only for whispers */

export class MessageList {
  #list;
  #empty;
  #newer;
  /** Of the last message, to see whether the next one goes on with it. */
  #last = { group: "", at: 0 };

  /** @param {HTMLElement} list @param {HTMLElement} empty shown while nothing was said @param {HTMLElement} newer leads to the end */
  constructor(list, empty, newer) {
    this.#list = list;
    this.#empty = empty;
    this.#newer = newer;
    newer.addEventListener("click", () => this.#scrollToEnd());
    list.addEventListener("scroll", () => { if (this.#atEnd()) newer.hidden = true; }, { passive: true });
    // The list shrinks when the keyboard or the whisper line comes up.
    let atEnd = true;
    list.addEventListener("scroll", () => { atEnd = this.#atEnd(); }, { passive: true });
    new ResizeObserver(() => { if (atEnd) this.#scrollToEnd(); }).observe(list);
  }

  clear() {
    this.#list.replaceChildren();
    this.#empty.hidden = false;
    this.#newer.hidden = true;
    this.#last = { group: "", at: 0 };
  }

  /** @param {Line} line */
  add({ from, text, own, target }) {
    const now = new Date();
    const kind = target === undefined ? "chat" : "whisper";
    const group = `${kind} ${from} ${target ?? ""}`;
    const goesOn = group === this.#last.group && now.getTime() - this.#last.at < GROUP_MS;
    const item = document.createElement("li");
    Object.assign(item.dataset, { kind, from, own: String(own), ...(target === undefined ? {} : { target }) });
    if (goesOn) {
      item.classList.add("goes-on");
    } else {
      const head = part("p", "head", "");
      const time = part("time", "", clock.format(now));
      time.setAttribute("datetime", now.toISOString());
      head.append(part("b", "from", own ? "You" : from), whisperLabel(own, target), time);
      item.append(this.avatar(from), head);
    }
    item.append(part("p", "text", text));
    this.#empty.hidden = true;
    this.#append(item, own);
    this.#last = { group, at: now.getTime() };
  }

  /** A line that nobody said. @param {string} text @param {boolean} [error] */
  note(text, error = false) {
    const item = part("li", "", "");
    item.dataset.kind = error ? "error" : "note";
    item.append(part("p", "text", text));
    this.#append(item, error);
    this.#last = { group: "", at: 0 };
  }

  /** A coloured initial: the same colour for the same name. @param {string} name */
  avatar(name) {
    let hash = 0;
    for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 1_000_003;
    const avatar = part("span", "avatar", [...name][0]?.toUpperCase() ?? "?");
    avatar.setAttribute("aria-hidden", "true");
    avatar.style.setProperty("--hue", String(Math.round((hash * 137.508) % 360))); // the golden angle spreads them
    return avatar;
  }

  /** @param {HTMLElement} item @param {boolean} follow whether to go to the end in any case */
  #append(item, follow) {
    const atEnd = this.#atEnd();
    this.#list.append(item);
    while (this.#list.childElementCount > MESSAGES_MAX) this.#list.firstElementChild?.remove();
    if (atEnd || follow) this.#scrollToEnd();
    else this.#newer.hidden = false;
  }

  #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  #scrollToEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#newer.hidden = true;
  }
}

/** @param {boolean} own @param {string | undefined} target */
function whisperLabel(own, target) {
  if (target === undefined) return "";
  return part("span", "whispered", own ? `whispered to ${target}` : "whispered to you");
}

/** @param {string} tag @param {string} className @param {string} text */
function part(tag, className, text) {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.textContent = text;
  return created;
}
