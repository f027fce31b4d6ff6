/** What people say about results: the service keeps one word after the other, and what it cannot keep yet waits. */

import * as api from "./api.js";
import { Notice, notice, say } from "./asking.js";
import { counted, whereText } from "./words.js";

const WORDS = { true: "the same vehicle", false: "not the same vehicle", null: "not judged" };
const CONTRARY = 409; // status of HTTP where somebody said otherwise meanwhile

export class Judging {
  /** {query, content} that the shown results belong to. */
  answered = null;
  #keeping = false; // whether words are on their way to the service
  #unkept = new Map(); // those that the service does not keep yet, by query and entry
  #contrary = []; // those that somebody else contradicts, which people have to decide on
  #waiting; // says so; no search takes it away
  #dialog;
  #show;

  /**
   * @param {HTMLElement} place where it stands that words are not kept yet.
   * @param {HTMLDialogElement} dialog asks whose word counts.
   * @param {function(number, ?boolean)} show shows what is said of a result.
   */
  constructor(place, dialog, show) {
    this.#waiting = new Notice(place);
    this.#dialog = dialog;
    this.#show = show;
    dialog.addEventListener("close", () => this.#decided());
  }

  /** Whether leaving the page would lose something. */
  get waits() {
    return this.#unkept.size > 0 || this.#contrary.length > 0;
  }

  /** Keeps somebody's word on a result, whatever is searched meanwhile; on the same pair their last one counts. */
  judge(picture, same) {
    this.#keep(this.answered, picture, same, picture.judgement);
  }

  showUnkept() {
    for (const word of this.#unkept.values()) this.#mark(word, word.same);
  }

  /** Keeps a word; `kept` is what people see that was said before, which it may replace. */
  #keep(asked, picture, same, kept) {
    const key = `${asked.content} ${picture.id}`;
    const word = this.#unkept.get(key) ?? { kept, sent: kept };
    this.#unkept.set(key, Object.assign(word, { asked, picture, same }));
    this.#mark(word, same);
    this.#keepAll();
  }

  /** Has the service keep one word after the other; those that it cannot keep now stay, and are tried again. */
  async #keepAll() {
    if (this.#keeping) return;
    this.#keeping = true;
    this.#waiting.clear();
    while (this.#unkept.size > 0) {
      const [[key, word]] = this.#unkept;
      const { asked, picture, same } = word;
      try {
        await this.#send(word);
        word.kept = same;
        if (asked === this.answered) say(`Rank ${picture.rank}: ${WORDS[same]}`);
      } catch (error) {
        if (error.mayPass) {
          this.#unkept.delete(key);
          this.#unkept.set(key, word); // the last to be tried, so that it keeps no other back
          const left = counted(this.#unkept.size, "judgement is", "judgements are");
          this.#waiting.explain(error, () => this.#keepAll(), `${left} not kept yet. `);
          break;
        }
        if (error.status === CONTRARY) this.#contradict(word);
        else notice.explain(error);
      }
      if (word.same !== same) continue; // somebody changed their mind meanwhile
      this.#unkept.delete(key);
      this.#mark(word, word.kept);
    }
    this.#keeping = false;
  }

  /** Sends a word; it replaces only what was seen when it was said, and takes back only what was sent or seen. */
  async #send(word) {
    const { asked, picture, same, kept } = word;
    if (same !== null) {
      word.sent = same;
      await api.judge(asked.query, picture.id, same, kept === !same);
    } else if (word.sent !== null) {
      await api.withdraw(asked.content, picture.id, word.sent);
    }
  }

  /** Lets people decide between their word and another one, which counts until then. */
  #contradict(word) {
    const { asked, picture, same, sent } = word;
    word.kept = !(same ?? sent);
    this.#contrary.push({ asked, picture, same, theirs: word.kept });
    this.#ask();
  }

  #ask() {
    if (this.#dialog.open || this.#contrary.length === 0) return;
    const [{ picture, same, theirs }] = this.#contrary;
    const wish = same === null ? "you take back what was said before" : `you say that it is ${WORDS[same]}`;
    const says = `Somebody has said meanwhile that it is ${WORDS[theirs]}; ${wish}.`;
    this.#dialog.querySelector("p").textContent = `Rank ${picture.rank}. ${whereText(picture)}. ${says}`;
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
  }

  #decided() {
    const { asked, picture, same, theirs } = this.#contrary.shift();
    if (this.#dialog.returnValue === "mine") this.#keep(asked, picture, same, theirs);
    else say(`Rank ${picture.rank}: ${WORDS[theirs]}, as somebody else said`);
    this.#ask();
  }

  /** Shows a judgement where its query is what is shown. */
  #mark({ asked, picture }, judgement) {
    if (asked.content === this.answered.content) this.#show(picture.id, judgement);
  }
}
