/** The journey of the stored picture that is searched with: where else `samecar link` has seen its vehicle, and when. */

import * as api from "./api.js";
import { element } from "./elements.js";
import { cameraName, counted, timeText, whereText } from "./words.js";

const MINUTE = 60;
const HOUR = 60 * MINUTE;

export class Journey {
  /**
   * @param {HTMLElement} section
   * @param {object} does
   * @param {function(object): string} does.address of the search from a picture.
   * @param {function(object)} does.open searches on from a picture.
   */
  constructor(section, does) {
    this.section = section;
    this.does = does;
  }

  /** Shows the journey of a stored picture; of an upload, or where nothing was linked, none. */
  async show(id, signal) {
    this.section.hidden = true;
    if (id === undefined) return;
    const { pictures } = await api.journey(id, signal);
    if (pictures.length < 2) return;
    const cameras = new Set(pictures.map((picture) => picture.camera_id)).size;
    const words = `${counted(pictures.length, "picture")} by ${counted(cameras, "camera")}, linked without a query`;
    const steps = pictures.map((picture, index) => this.step(picture, pictures[index - 1], String(picture.id) === String(id)));
    this.section.replaceChildren(
      element("h3", { id: "journey-heading", textContent: "Its journey" }),
      element("p", { className: "quiet", textContent: words }),
      element("ol", {}, ...steps),
    );
    this.section.hidden = false;
  }

  step(picture, before, here) {
    const passed = passedText(picture, before);
    const words = [cameraName(picture.camera_id), timeText(picture.time)].join(", ");
    if (here) return element("li", { ariaCurrent: "true" }, element("b", {}, words), ` ${passed}`);
    const link = element("a", { href: this.does.address(picture), textContent: words });
    link.setAttribute("aria-label", `${whereText(picture)}. Search on from it`);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // opens elsewhere
      event.preventDefault();
      this.does.open(picture);
    });
    return element("li", {}, link, ` ${passed}`);
  }
}

/** "after 2.5 min", from the picture before it. */
function passedText(picture, before) {
  if (before === undefined || picture.time === null || before.time === null) return "";
  const seconds = (new Date(picture.time) - new Date(before.time)) / 1000;
  if (seconds < MINUTE) return `after ${seconds.toFixed(0)} s`;
  return seconds < HOUR ? `after ${(seconds / MINUTE).toFixed(1)} min` : `after ${(seconds / HOUR).toFixed(1)} h`;
}
