/** The form that says which pictures may be found. */

import { element } from "./elements.js";
import { LabelChoices, describeLabels, readLabels } from "./labels.js";
import { cameraName, counted, plainTime } from "./words.js";

const TOPS = [10, 20, 50, 100, 200];
const USUAL_TOP = 20;
const TYPING = 400; // milliseconds without a change after which a time counts as typed

/**
 * A filter is {mode: "all"|"only"|"except", cameras: string[], after: string, before: string, labels, top: number},
 * whose labels are values by name.
 */
export class FilterForm {
  /**
   * @param {HTMLFormElement} form
   * @param {function()} changed is called when the filter was changed by hand.
   */
  constructor(form, changed) {
    this.form = form;
    this.cameras = form.querySelector("#cameras");
    this.labels = new LabelChoices(form.querySelector("#labels"));
    this.changed = changed;
    let typing;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => {
      this.arrange();
      clearTimeout(typing);
      typing = setTimeout(changed, TYPING);
    });
    form.querySelector("#clear").addEventListener("click", () => this.clear());
    form.querySelector("details").open = matchMedia("(min-width: 60rem)").matches;
  }

  /** Offers what a gallery has. */
  offer(gallery) {
    this.cameras.replaceChildren(...gallery.cameras.map(cameraChoice));
    const tops = TOPS.filter((top) => top <= gallery.limits.top);
    if (tops.length === 0) tops.push(gallery.limits.top);
    this.form.elements.top.replaceChildren(...tops.map((top) => new Option(top, top)));
    this.usualTop = Math.min(USUAL_TOP, tops.at(-1));
    const span = this.form.querySelector("#span");
    span.textContent =
      gallery.first === null
        ? "No picture of this gallery has a time."
        : `Pictures from ${plainTime(gallery.first)} to ${plainTime(gallery.last)}.`;
  }

  /** Offers labels of the gallery, which are counted later than the rest. */
  offerLabels(labels) {
    this.labels.offer(labels);
  }

  /** What is chosen. */
  get filter() {
    const { mode, after, before, top } = this.form.elements;
    const chosen = [...this.cameras.querySelectorAll("input:checked")].map((box) => box.value);
    return {
      mode: chosen.length === 0 ? "all" : mode.value,
      cameras: mode.value === "all" ? [] : chosen,
      after: after.value,
      before: before.value,
      labels: this.labels.chosen,
      top: Number(top.value),
    };
  }

  set filter(filter) {
    const { mode, after, before, top } = this.form.elements;
    mode.value = filter.mode;
    const boxes = () => [...this.cameras.querySelectorAll("input")];
    const listed = new Set(boxes().map((box) => box.value));
    for (const camera of filter.cameras) if (!listed.has(camera)) this.cameras.append(cameraChoice({ camera_id: camera }));
    for (const box of boxes()) box.checked = filter.cameras.includes(box.value);
    after.value = filter.after;
    before.value = filter.before;
    this.labels.chosen = filter.labels;
    top.value = filter.top;
    if (top.value === "") top.value = this.usualTop;
    this.arrange();
  }

  /** Allows every picture. */
  clear() {
    this.filter = { mode: "all", cameras: [], after: "", before: "", labels: {}, top: this.form.elements.top.value };
    this.changed();
  }

  /** Leaves a camera out, beside those that are left out already. */
  leaveOut(camera) {
    const { mode, cameras, ...rest } = this.filter;
    this.filter = { ...rest, mode: "except", cameras: mode === "except" ? [...cameras, camera] : [camera] };
    this.changed();
  }

  arrange() {
    const mode = this.form.elements.mode.value;
    this.cameras.hidden = mode === "all";
    this.labels.arrange();
    this.form.querySelector("#filter-summary").textContent = this.summary();
  }

  summary() {
    const { mode, cameras, after, before, labels } = this.filter;
    const parts = [];
    if (mode !== "all") parts.push(`${mode === "only" ? "only" : "all but"} ${counted(cameras.length, "camera")}`);
    if (after !== "" || before !== "") parts.push("a span of time");
    parts.push(...describeLabels(labels));
    return parts.length === 0 ? "off" : parts.join(", ");
  }
}

/** The filter in an address; what it does not name is as usual. */
export function readFilter(asked) {
  const mode = asked.has("camera") ? "only" : asked.has("not_camera") ? "except" : "all";
  return {
    mode,
    cameras: asked.getAll(mode === "only" ? "camera" : "not_camera"),
    after: asked.get("after") ?? "",
    before: asked.get("before") ?? "",
    labels: readLabels(asked),
    top: Number(asked.get("top") ?? USUAL_TOP),
  };
}

function cameraChoice(camera) {
  const box = element("input", { type: "checkbox", value: camera.camera_id });
  const known = camera.pictures !== undefined; // not of one that an address names, or that came later
  const count = element("span", { className: "quiet" }, known ? counted(camera.pictures, "picture") : "");
  return element("label", {}, box, ` ${cameraName(camera.camera_id)} `, count);
}
