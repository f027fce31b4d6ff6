/** When and where: a lane for each camera, a point for each result, and the same as a table. */

import { element } from "./elements.js";
import { cameraName, counted, percent, plainTime, similarityText, visible, whereText } from "./words.js";

const POINT = 26; // pixels that a point takes, so that none hides another
const ROWS = 3; // of points in a lane, so that lanes of many cameras fit on a screen
const TICK = 90; // pixels that a time below the lanes takes
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 5, 15, 30].map((number) => number * SECOND),
  ...[1, 5, 15, 30].map((number) => number * MINUTE),
  ...[1, 3, 6, 12].map((number) => number * HOUR),
  ...[1, 2, 7, 14, 30, 91, 182, 365].map((number) => number * DAY),
];

/** The timeline of one ranking. */
export class Timeline {
  /**
   * @param {HTMLElement} section
   * @param {object} does
   * @param {function(number)} does.choose a point was pressed.
   * @param {function(?number)} does.point tells which picture is pointed at.
   */
  constructor(section, does) {
    this.section = section;
    this.does = does;
    section.addEventListener("click", (event) => {
      const id = idOf(event.target);
      if (id !== null) does.choose(id);
    });
    for (const type of ["pointerover", "focusin"]) section.addEventListener(type, (event) => does.point(idOf(event.target)));
    for (const type of ["pointerleave", "focusout"]) section.addEventListener(type, () => does.point(null));
    new ResizeObserver(() => this.arrange()).observe(section);
  }

  /** Shows results, of which the most similar comes first. */
  show(results) {
    const timed = results.filter((result) => result.time !== null);
    this.points = timed.map((result) => ({ result, moment: Date.parse(result.time), button: makePoint(result, results) }));
    const parts = [heading(timed.length, results.length)];
    if (timed.length > 0) parts.push(this.makeLanes(), makeTable(timed));
    if (timed.length < results.length) parts.push(untimed(results.filter((result) => result.time === null), timed.length));
    this.section.replaceChildren(...parts);
    this.arrange();
  }

  /** Marks the point of a picture, or none, as pointed at. */
  highlight(id) {
    for (const point of this.section.querySelectorAll("[data-id]")) {
      point.classList.toggle("pointed", point.dataset.id === String(id));
    }
  }

  makeLanes() {
    const moments = this.points.map((point) => point.moment);
    const [first, last] = [Math.min(...moments), Math.max(...moments)];
    const margin = Math.max((last - first) * 0.02, SECOND);
    this.span = [first - margin, last + margin];
    const cameras = [...new Set(this.points.map((point) => point.result.camera_id))].sort();
    const lanes = element("ul", { className: "lanes" });
    for (const camera of cameras) {
      const track = element("ol", { className: "track" });
      const here = this.points.filter((point) => point.result.camera_id === camera);
      for (const { button } of here.toSorted((one, other) => one.moment - other.moment)) {
        track.append(element("li", {}, button));
      }
      lanes.append(element("li", { className: "lane" }, element("h4", { textContent: cameraName(camera) }), track));
    }
    this.axis = element("div", { className: "axis" });
    this.axis.setAttribute("aria-hidden", "true");
    return element("div", { className: "chart" }, lanes, this.axis);
  }

  /**
   * Places points and times for the width that there is. Where a lane is crowded, a point stands aside by its own width
   * at most; beyond that points overlap, the most similar on top.
   */
  arrange() {
    const tracks = this.section.querySelectorAll(".track");
    if (tracks.length === 0) return;
    const width = tracks[0].clientWidth - 2 * POINT; // the last point may stand aside too
    const [from, to] = this.span;
    for (const track of tracks) {
      const ends = []; // where the last point of each row ends
      for (const button of track.querySelectorAll("button")) {
        const point = this.points.find((other) => other.button === button);
        const place = ((point.moment - from) / (to - from)) * width;
        let row = ends.findIndex((end) => end <= place);
        if (row < 0) row = ends.length < ROWS ? ends.length : ends.indexOf(Math.min(...ends));
        const left = Math.min(Math.max(place, ends[row] ?? 0), place + POINT);
        ends[row] = left + POINT;
        button.style.left = `${left}px`;
        button.style.top = `${row * POINT}px`;
      }
      track.style.height = `${ends.length * POINT}px`;
    }
    this.axis.replaceChildren(...ticks(from, to, width));
  }
}

function idOf(target) {
  const id = target.closest("[data-id]")?.dataset.id;
  return id === undefined ? null : Number(id);
}

function makePoint(result, results) {
  const button = makeButton(result, String(result.rank));
  button.className = "point";
  button.setAttribute("aria-label", `Rank ${result.rank}, similarity ${similarityText(result.similarity)}. ${whereText(result)}`);
  const [best, worst] = [results[0].similarity, results.at(-1).similarity];
  const shade = best === worst ? 1 : (result.similarity - worst) / (best - worst);
  button.style.setProperty("--shade", `${Math.round(100 * shade)}%`);
  button.style.zIndex = results.length - result.rank;
  return button;
}

function makeButton(result, text) {
  const button = element("button", { type: "button", textContent: text });
  button.dataset.id = result.id;
  return button;
}

function heading(timed, all) {
  const shown = timed === all ? counted(all, "sighting") : `${timed} of ${counted(all, "sighting")}`;
  const title = element("h3", { id: "timeline-heading", textContent: "When and where" });
  const key = element("p", { className: "quiet", textContent: `${shown} by camera, in UTC. Numbers are ranks; the stronger the colour, the more similar.` });
  key.hidden = timed === 0;
  return element("header", {}, title, key);
}

function untimed(results, timed) {
  if (timed === 0) {
    return element("p", { className: "quiet", textContent: "No time is known of these results, so that there is no timeline." });
  }
  const paragraph = element("p", { className: "untimed quiet", textContent: "Without a time: " });
  for (const result of results) {
    const button = makeButton(result, `rank ${result.rank}, ${cameraName(result.camera_id)}`);
    button.className = "plain";
    paragraph.append(button, " ");
  }
  return paragraph;
}

function makeTable(timed) {
  const columns = ["Time (UTC)", "Camera", "Rank", "Similarity", "Probability", "Vehicle"];
  const calibrated = timed.some((result) => result.probability !== null);
  if (!calibrated) columns.splice(4, 1);
  const body = element("tbody");
  for (const result of timed.toSorted((one, other) => Date.parse(one.time) - Date.parse(other.time))) {
    const cells = [cameraName(result.camera_id), result.rank, similarityText(result.similarity)];
    if (calibrated) cells.push(percent(result.probability));
    cells.push(visible(result.vehicle_id) || "–");
    const time = element("th", { scope: "row", textContent: plainTime(result.time) });
    body.append(element("tr", {}, time, ...cells.map((text) => element("td", { textContent: text }))));
  }
  const names = columns.map((text) => element("th", { scope: "col", textContent: text }));
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...names)), body);
  const frame = element("div", { className: "scrolling", tabIndex: 0, role: "region", ariaLabel: "Sightings as a table" }, table);
  return element("details", {}, element("summary", { textContent: "As a table" }), frame);
}

/** Times at round numbers, as many as have room; the day is named where it changes. */
function ticks(from, to, width) {
  const room = Math.max(Math.floor(width / TICK), 1);
  const step = STEPS.find((step) => (to - from) / step <= room) ?? Math.ceil((to - from) / room / (365 * DAY)) * 365 * DAY;
  const made = [];
  let day = "";
  for (let moment = Math.ceil(from / step) * step; moment <= to; moment += step) {
    const [date, time] = plainTime(moment).split(" ");
    const text = step >= DAY ? date : step >= MINUTE ? time.slice(0, 5) : time;
    const tick = element("span", { className: "tick", textContent: text });
    if (step < DAY && date !== day) tick.append(element("small", { textContent: date }));
    day = date;
    const place = ((moment - from) / (to - from)) * width + POINT / 2;
    tick.style.left = `${place}px`;
    tick.classList.toggle("first", place < TICK / 2);
    tick.classList.toggle("last", place > width + 2 * POINT - TICK / 2);
    made.push(tick);
  }
  return made;
}
