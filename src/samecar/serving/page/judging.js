/** What people say about results: the service keeps one word after the other, and what it cannot keep yet waits. */

import * as api from "./api.js";
import { Notice, notice, say } from "./asking.js";
import { counted } from "./words.js";

export class Judging {
  /** {query, content} that the shown results belong to. */
  answered = null;
  #keeping = false; // whether words are on their way to the service
  #unkept = new Map(); // those that the service does not keep yet, by query and entry
  #waiting; // says so; no search takes it away
  #show;

  /** `show(id, judgement)` shows what is said of a result. */
  constructor(place, show) {
    this.#waiting = new Notice(place);
    this.#show = show;
  }

  /** Whether leaving the page would lose something. */
  get waits() {
    return this.#unkept.size > 0;
  }

  /** Keeps somebody's word on a result, whatever is searched meanwhile; on the same pair the last one counts. */
  judge(picture, same) {
    const key = `${this.answered.content} ${picture.id}`;
    const word = this.#unkept.get(key) ?? { kept: picture.judgement };
    this.#unkept.set(key, Object.assign(word, { asked: this.answered, picture, same }));
    this.#mark(word, same);
    this.#keepAll();
  }

  showUnkept() {
    for (const word of this.#unkept.values()) this.#mark(word, word.same);
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
        if (same === null) await api.withdraw(asked.content, picture.id);
        else await api.judge(asked.query, picture.id, same);
        word.kept = same;
        const said = { true: "the same vehicle", false: "not the same vehicle", null: "not judged" }[same];
        if (asked === this.answered) say(`Rank ${picture.rank}: ${said}`);
      } catch (error) {
        if (error.mayPass) {
          this.#unkept.delete(key);
          this.#unkept.set(key, word); // the last to be tried, so that it keeps no other back
          const left = counted(this.#unkept.size, "judgement is", "judgements are");
          this.#waiting.explain(error, () => this.#keepAll(), `${left} not kept yet. `);
          break;
        }
        notice.explain(error);
      }
      if (word.same !== same) continue; // somebody changed their mind meanwhile
      this.#unkept.delete(key);
      this.#mark(word, word.kept);
    }
    this.#keeping = false;
  }

  /** Shows a judgement where its query is what is shown. */
  #mark({ asked, picture }, judgement) {
    if (asked.content === this.answered.content) this.#show(picture.id, judgement);
  }
}
