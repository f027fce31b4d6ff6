/** Work that asks the service: what is said meanwhile, and what is done when it fails. */

import { ServiceError, rememberToken } from "./api.js";
import { keepFocus } from "./elements.js";
import { sentence } from "./words.js";

/** Seconds until a busy service is asked again, where it names no time. */
export const AGAIN = 3;

const at = (id) => document.getElementById(id);

/** A bar above everything that says what is wrong, and lets people do something about it. */
export class Notice {
  constructor(bar) {
    this.bar = bar;
    this.again = undefined; // timer until what failed is done once more
  }

  /** Shows a sentence, with a button that does something about it. */
  show(text, button = null) {
    const offered = this.bar.querySelector("button");
    this.bar.querySelector("p").textContent = text;
    keepFocus(() => {
      this.bar.hidden = text === "";
      offered.hidden = button === null;
    });
    if (button !== null) {
      offered.textContent = button.text;
      offered.onclick = button.press;
    }
  }

  /** Shows nothing, and repeats nothing. */
  clear() {
    clearTimeout(this.again);
    this.show("");
  }

  /**
   * Says what failed; repeats it when the service asks for that, or lets people do so where it may help.
   *
   * @param {Error} error
   * @param {function()} repeat
   * @param {string} before what is said first.
   */
  explain(error, repeat, before = "") {
    if (!(error instanceof ServiceError)) {
      this.show("Something is wrong with this page; the browser's console says more.");
      reportError(error);
      return;
    }
    const text = before + sentence(error.message);
    const press = () => {
      this.clear();
      repeat();
    };
    if (error.status === 401) {
      const ask = () => askToken(press);
      this.show(`${before}This service asks for a token.`, { text: "Enter the token", press: ask }); // if not now
      ask();
    } else if (error.status === 429 || error.status === 503) {
      const wait = error.wait ?? AGAIN;
      this.again = setTimeout(press, wait * 1000);
      this.show(`${text} Trying again in ${wait} s.`, { text: "Try now", press });
    } else {
      this.show(text, error.mayPass ? { text: "Try again", press } : null);
    }
  }
}

/** Of whatever is asked at the moment. */
export const notice = new Notice(at("notice"));

let running = new AbortController(); // of the work that is under way

/** Says how things are; what stands elsewhere on the page is only spoken. */
export function say(text, spoken = "") {
  const [seen, heard] = at("status").children;
  seen.textContent = text;
  heard.textContent = spoken;
}

/**
 * Does some work; an older one that is under way is abandoned.
 *
 * @param {string} saying what is said meanwhile.
 * @param {function(AbortSignal)} work is done again after a failure that may pass.
 */
export async function attempt(saying, work) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  notice.clear();
  say(saying);
  document.body.classList.add("busy");
  try {
    await work(signal);
  } catch (error) {
    if (signal.aborted) return;
    say("");
    notice.explain(error, () => {
      if (!signal.aborted) attempt(saying, work);
    });
  } finally {
    if (!signal.aborted) document.body.classList.remove("busy");
  }
}

const refused = new Set(); // what is done once there is a token

function askToken(repeat) {
  refused.add(repeat);
  const dialog = at("ask-token");
  dialog.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    const token = at("token").value.trim();
    if (!/^[\x21-\x7e]+$/.test(token)) {
      at("token-error").textContent = "A token has plain letters, digits and signs, and no spaces.";
      return;
    }
    rememberToken(token);
    at("token-error").textContent = "This token was not accepted."; // seen only if it is asked for again
    dialog.close();
    const repeats = [...refused];
    refused.clear();
    for (const again of repeats) again();
  };
  if (!dialog.open) dialog.showModal();
  at("token").select();
}
