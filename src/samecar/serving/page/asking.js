/** Work that asks the service: what is said meanwhile, and what is done when it fails. */

import { ServiceError, rememberToken } from "./api.js";
import { sentence } from "./words.js";

/** Seconds until a busy service is asked again, where it names no time. */
export const AGAIN = 3;

const at = (id) => document.getElementById(id);

let running = new AbortController(); // of the work that is under way
let again; // timer until work is done once more

/** Shows a sentence above everything, or none, with a button that does something about it. */
export function notice(text, button = null) {
  const bar = at("notice");
  bar.hidden = text === "";
  bar.querySelector("p").textContent = text;
  const offered = bar.querySelector("button");
  offered.hidden = button === null;
  if (button !== null) {
    offered.textContent = button.text;
    offered.onclick = button.press;
  }
}

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
  clearTimeout(again);
  running = new AbortController();
  const { signal } = running;
  notice("");
  say(saying);
  document.body.classList.add("busy");
  try {
    await work(signal);
  } catch (error) {
    if (signal.aborted) return;
    say("");
    explain(error, () => attempt(saying, work));
  } finally {
    if (!signal.aborted) document.body.classList.remove("busy");
  }
}

/** Says what failed; repeats it when the service asks for that, or lets people do so where it may help. */
export function explain(error, repeat) {
  if (!(error instanceof ServiceError)) {
    notice("Something is wrong with this page; the browser's console says more.");
    throw error;
  }
  const text = sentence(error.message);
  let timer;
  const press = () => {
    clearTimeout(timer);
    notice("");
    repeat();
  };
  if (error.status === 401) {
    askToken(repeat);
  } else if (error.status === 429 || error.status === 503) {
    const wait = error.wait ?? AGAIN;
    again = timer = setTimeout(press, wait * 1000);
    notice(`${text} Trying again in ${wait} s.`, { text: "Try now", press });
  } else {
    notice(text, error.mayPass ? { text: "Try again", press } : null);
  }
}

function askToken(repeat) {
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
    repeat();
  };
  if (!dialog.open) dialog.showModal();
  at("token").select();
}
