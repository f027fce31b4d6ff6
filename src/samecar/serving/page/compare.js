/** Query and result side by side, as large as there is room, zoomed and moved in step. */

import { element } from "./elements.js";
import { fillLarge } from "./large.js";
import { percent, similarityText, whereText } from "./words.js";

const MOST = 16; // times as large
const STEP = 1.5; // for a press of a button or a key
const MOVE = 0.1; // of a picture's place, for a press of an arrow

/** The dialog. */
export class Comparison {
  #results = [];
  #at = 0;
  #view = { scale: 1, x: 0, y: 0 }; // x and y are shares of a pane that the pictures are moved by
  #fingers = new Map(); // where pointers press, by their numbers
  #opened = new AbortController();
  #showing = new AbortController(); // one of the results

  /**
   * @param {HTMLDialogElement} dialog
   * @param {object} does
   * @param {function(HTMLElement, AbortSignal): Promise} does.showQuery shows the query in an element.
   * @param {function(): ?function(object, ?boolean)} does.judging gives what keeps a judgement, if any is kept.
   */
  constructor(dialog, does) {
    this.dialog = dialog;
    this.does = does;
    this.panes = dialog.querySelector(".panes");
    this.panes.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      this.panes.addEventListener(type, (event) => this.#touch(event));
    }
    dialog.addEventListener("keydown", (event) => this.#press(event));
    dialog.addEventListener("click", (event) => this.#click(event));
    dialog.addEventListener("close", () => {
      this.#opened.abort();
      this.#showing.abort();
    });
  }

  /** Opens the dialog at one of the results. */
  open(results, result) {
    this.#results = results;
    this.#view = { scale: 1, x: 0, y: 0 };
    this.dialog.showModal();
    this.#opened = new AbortController();
    const [query] = this.panes.querySelectorAll(".pane");
    query.replaceChildren(missing());
    this.#showQuery(query, this.#opened.signal);
    this.#show(results.indexOf(result));
    this.panes.focus();
  }

  async #showQuery(pane, signal) {
    try {
      await this.does.showQuery(pane, signal);
    } catch {
      if (!signal.aborted) pane.replaceChildren(missing("picture not loaded"));
    }
  }

  /** Shows the judgement that a result has now. */
  showJudgement(id, judgement) {
    const shown = this.#results[this.#at];
    if (!this.dialog.open || shown.id !== id) return;
    for (const button of this.dialog.querySelectorAll(".judge button")) {
      button.setAttribute("aria-pressed", judgement === (button.value === "same"));
    }
  }

  #show(at) {
    this.#at = at;
    this.#showing.abort();
    this.#showing = new AbortController();
    const result = this.#results[at];
    const [, found] = this.panes.querySelectorAll(".pane");
    found.replaceChildren(missing());
    fillLarge(found, result, `Rank ${result.rank}. ${whereText(result)}`, this.#part("moments"), this.#showing.signal);
    const said = [`similarity ${similarityText(result.similarity)}`];
    if (result.probability !== null) said.push(`probability ${percent(result.probability)}`);
    this.#part("heading").textContent = `Query and rank ${result.rank}`;
    this.#part("said").textContent = `${whereText(result)} · ${said.join(" · ")}`;
    this.dialog.querySelector('[value="previous"]').disabled = at === 0;
    this.dialog.querySelector('[value="next"]').disabled = at === this.#results.length - 1;
    this.dialog.querySelector(".judge").hidden = this.does.judging() === undefined;
    this.showJudgement(result.id, result.judgement);
    this.#arrange();
    const focused = document.activeElement; // a moment that has gone, or a button that does nothing more, takes no keys
    if (!this.dialog.contains(focused) || focused.disabled) this.panes.focus();
  }

  #part(name) {
    return this.dialog.querySelector(`#compare-${name}`);
  }

  /** Brings both pictures to the same size and place. */
  #arrange() {
    const { scale } = this.#view;
    const room = (scale - 1) / 2;
    for (const side of ["x", "y"]) this.#view[side] = Math.min(Math.max(this.#view[side], -room), room);
    this.panes.style.setProperty("--scale", scale);
    this.panes.style.setProperty("--x", this.#view.x);
    this.panes.style.setProperty("--y", this.#view.y);
    this.#part("zoom").textContent = `${Math.round(scale * 100)}\u00a0%`;
    this.dialog.querySelector('[value="smaller"]').disabled = scale === 1;
    this.dialog.querySelector('[value="larger"]').disabled = scale === MOST;
  }

  /** Makes pictures so many times as large; what lies at a place, in shares from a pane's middle, stays there. */
  #zoom(times, place = { x: 0, y: 0 }) {
    const before = this.#view.scale;
    const scale = Math.min(Math.max(before * times, 1), MOST);
    const moved = (side) => place[side] - ((place[side] - this.#view[side]) * scale) / before;
    this.#view = { scale, x: moved("x"), y: moved("y") };
    this.#arrange();
  }

  #move(x, y) {
    this.#view.x += x;
    this.#view.y += y;
    this.#arrange();
  }

  #step(by) {
    const next = this.#at + by;
    if (next >= 0 && next < this.#results.length) this.#show(next);
  }

  #judge(word) {
    const result = this.#results[this.#at];
    const same = word === "same";
    this.does.judging()?.(result, result.judgement === same ? null : same);
  }

  #turn(event) {
    const pane = event.target.closest(".pane");
    if (pane === null) return;
    event.preventDefault();
    this.#zoom(2 ** (-event.deltaY / 300), placeIn(pane, event));
  }

  #touch(event) {
    const pane = event.target.closest(".pane");
    if (event.type === "pointerdown") {
      if (pane === null || event.button !== 0) return;
      pane.setPointerCapture(event.pointerId);
      this.#fingers.set(event.pointerId, placeIn(pane, event));
    } else if (event.type !== "pointermove") {
      this.#fingers.delete(event.pointerId);
    } else if (this.#fingers.has(event.pointerId) && pane !== null) {
      this.#drag(event.pointerId, placeIn(pane, event));
    }
  }

  /** One finger moves both pictures; two make them larger or smaller too. */
  #drag(finger, place) {
    const before = this.#fingers.get(finger);
    const other = [...this.#fingers].find(([number]) => number !== finger)?.[1];
    this.#fingers.set(finger, place);
    const share = other === undefined ? 1 : 2;
    this.#move((place.x - before.x) / share, (place.y - before.y) / share);
    if (other === undefined) return;
    const middle = { x: (place.x + other.x) / 2, y: (place.y + other.y) / 2 };
    this.#zoom(distance(place, other) / Math.max(distance(before, other), 0.01), middle);
  }

  #click(event) {
    const value = event.target.closest("button")?.value;
    this.#does(value);
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const value = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (value === undefined || (event.repeat && ["same", "different"].includes(value))) return;
    event.preventDefault();
    this.#does(value);
  }

  #does(value) {
    const does = {
      larger: () => this.#zoom(STEP),
      smaller: () => this.#zoom(1 / STEP),
      whole: () => this.#zoom(0),
      left: () => this.#move(MOVE, 0),
      right: () => this.#move(-MOVE, 0),
      up: () => this.#move(0, MOVE),
      down: () => this.#move(0, -MOVE),
      previous: () => this.#step(-1),
      next: () => this.#step(1),
      same: () => this.#judge("same"),
      different: () => this.#judge("different"),
      close: () => this.dialog.close(),
    };
    does[value]?.();
  }
}

const KEYS = {
  "+": "larger",
  "=": "larger",
  "-": "smaller",
  0: "whole",
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  PageUp: "previous",
  PageDown: "next",
  s: "same",
  n: "different",
};

function missing(textContent = "no picture is kept") {
  return element("span", { className: "missing", textContent });
}

/** Where a pointer is, in shares of a pane from its middle. */
function placeIn(pane, event) {
  const box = pane.getBoundingClientRect();
  return { x: (event.clientX - box.left) / box.width - 0.5, y: (event.clientY - box.top) / box.height - 0.5 };
}

function distance(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
