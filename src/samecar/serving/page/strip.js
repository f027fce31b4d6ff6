/** Several pictures that were chosen together: which one is shown, and whether they are views of one vehicle. */

import { element } from "./elements.js";
import { counted } from "./words.js";

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

export class Strip {
  #uploads = [];
  #at = 0;

  /**
   * @param {HTMLElement} place
   * @param {object} does
   * @param {function(number)} does.select shows another of the pictures.
   * @param {function(boolean)} does.join makes them views of one vehicle, or queries of their own.
   * @param {function(number)} does.remove leaves one out.
   */
  constructor(place, does) {
    this.place = place;
    this.does = does;
    this.list = place.querySelector("ol");
    place.addEventListener("change", (event) => does.join(event.target.value === "views"));
    place.addEventListener("click", (event) => this.#click(event));
    this.list.addEventListener("keydown", (event) => this.#press(event));
  }

  /** Shows pictures, which of them is looked at, whether they are one vehicle, and how many views there may be. */
  show(uploads, at, together, most) {
    this.place.hidden = uploads.length < 2;
    if (uploads.map(({ number }) => number).join() !== this.#uploads.map(({ number }) => number).join()) {
      this.list.replaceChildren(...uploads.map((upload, place) => makeShot(upload, place, uploads.length)));
    }
    this.#uploads = uploads;
    this.#at = at;
    const choices = [...this.place.querySelectorAll("[type=radio]")];
    for (const choice of choices) {
      choice.checked = (choice.value === "views") === together;
      choice.disabled = choice.value === "views" && uploads.length > most;
    }
    this.place.querySelector("legend").textContent = counted(uploads.length, "picture");
    this.place.querySelector(".most").hidden = uploads.length <= most;
    this.place.querySelector(".most").textContent = `At most ${most} views are searched with together.`;
    for (const [place, shot] of [...this.list.querySelectorAll(".shot")].entries()) {
      shot.ariaCurrent = place === at ? "true" : "false";
      shot.tabIndex = place === at ? 0 : -1;
    }
    this.place.querySelector('[value="previous"]').disabled = at === 0;
    this.place.querySelector('[value="next"]').disabled = at === uploads.length - 1;
    this.#current?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Goes so many pictures on, or back; whether there is one. */
  step(by) {
    const next = this.#at + by;
    if (this.place.hidden || next < 0 || next >= this.#uploads.length) return false;
    this.does.select(next);
    return true;
  }

  get #current() {
    return this.list.querySelectorAll(".shot")[this.#at];
  }

  #click(event) {
    const button = event.target.closest("button");
    if (button === null) return;
    const place = [...this.list.children].indexOf(button.closest("li"));
    if (button.matches(".shot")) this.does.select(place);
    else if (button.matches(".remove")) this.does.remove(place);
    else this.step(button.value === "next" ? 1 : -1);
  }

  #press(event) {
    const by = STEPS[event.key];
    if (by !== undefined && event.target.matches(".shot")) {
      event.preventDefault();
      if (this.step(by)) this.#current.focus();
    } else if (event.key === "Delete") {
      event.preventDefault();
      this.does.remove([...this.list.children].indexOf(event.target.closest("li")));
      this.#current?.focus();
    }
  }
}

function makeShot(upload, place, count) {
  const name = `picture ${place + 1} of ${count}: ${upload.name}`;
  const missing = element("span", { className: "missing", textContent: place + 1 });
  const shot = element("button", { type: "button", className: "shot" }, missing);
  shot.setAttribute("aria-label", `Show ${name}`);
  upload.image().then((image) => {
    if (image !== null) missing.replaceWith(element("img", { src: upload.url, alt: "", draggable: false }));
  });
  const remove = element("button", { type: "button", className: "plain remove", textContent: "×" });
  remove.setAttribute("aria-label", `Leave out ${name}`);
  return element("li", {}, shot, remove);
}
