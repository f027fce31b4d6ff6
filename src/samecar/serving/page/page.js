/** The page: which query is shown, what is found with it, and what people say about that. */

import * as api from "./api.js";
import { attempt, notice, say } from "./asking.js";
import { Cards, fillFrame, knownItems } from "./cards.js";
import { Comparison } from "./compare.js";
import { Crop } from "./crop.js";
import { element, keepFocus } from "./elements.js";
import { FilterForm, readFilter } from "./filter.js";
import { Journey } from "./journey.js";
import { Judging } from "./judging.js";
import { Timeline } from "./timeline.js";
import { cameraName, counted, megabytes, plainTime, timeText, verdictWords, visible, whereText } from "./words.js";

const BROWSED = 24; // pictures of the gallery that are shown at a time
const SAVING = 60_000; // milliseconds after which a browser has saved what it downloads

const at = (id) => document.getElementById(id);

let gallery = null;
let query = null; // {id} of a stored picture, or {file, url, crop}
const uploads = new Map(); // files by the number that the browser's history keeps
const early = []; // files that came before the gallery was known

// What is shown

function reveal(id) {
  for (const part of ["answer", "none", "browse"]) at(part).hidden = part !== id;
}

function showGallery() {
  const cameras = counted(gallery.cameras.length, "camera");
  const span = gallery.first === null ? "" : `${plainTime(gallery.first)} to ${timeText(gallery.last)}`;
  document.title = `${visible(gallery.name)} – samecar`;
  const facts = [visible(gallery.name), counted(gallery.pictures, "picture"), cameras, span, gallery.writable ? "" : "read-only"];
  at("facts").replaceChildren(...facts.map((textContent) => element("span", { textContent })));
  cards.does.judge = gallery.writable ? (picture, same) => judging.judge(picture, same) : undefined;
  at("export").hidden = false;
  at("empty").hidden = gallery.pictures > 0;
  at("work").hidden = gallery.pictures === 0;
}

function showQuery() {
  at("uploaded").hidden = query?.file === undefined;
  at("stored").hidden = query?.id === undefined;
  at("stored").replaceChildren();
  if (query?.file === undefined) return;
  const shown = crop.image.src === query.url && crop.image.naturalWidth > 0;
  if (!shown) crop.image.src = query.url;
  crop.box = query.crop;
}

async function showStored(id, signal) {
  const picture = await api.picture(id, signal);
  const frame = element("div", { className: "frame" }, element("span", { className: "missing", textContent: "no thumbnail" }));
  fillFrame(frame, picture, `The picture that is searched with. ${whereText(picture)}`, signal);
  const texts = [`picture ${id}`, cameraName(picture.camera_id), timeText(picture.time)];
  const lines = texts.map((textContent) => element("li", { textContent }));
  const caption = element("figcaption", {}, element("ul", {}, ...lines, ...knownItems(picture)));
  if (gallery.cameras.length > 1) {
    const others = element("button", { type: "button", className: "plain" }, `Leave out ${cameraName(picture.camera_id)}`);
    others.addEventListener("click", () => filterForm.leaveOut(picture.camera_id));
    caption.append(others);
  }
  at("stored").replaceChildren(frame, caption);
}

/** Shows what is searched with in an element: the part of an upload that is meant, or a stored picture. */
async function showQueryIn(place, signal) {
  if (query.file === undefined) {
    const picture = await api.picture(query.id, signal);
    await fillFrame(place, picture, `The picture that is searched with. ${whereText(picture)}`, signal);
  } else if (crop.image.naturalWidth > 0) {
    place.replaceChildren(crop.cutOut(query.crop));
  }
}

function showTrail(trail) {
  const items = trail.map((step, index) => {
    const name = step.id === undefined ? step.name : `picture ${step.id}`;
    if (index === trail.length - 1) return element("li", { ariaCurrent: "page" }, name);
    const button = element("button", { type: "button", className: "plain" }, name);
    button.addEventListener("click", () => history.go(index + 1 - trail.length));
    return element("li", {}, button);
  });
  at("trail").hidden = trail.length < 2;
  at("trail").querySelector("ol").replaceChildren(...items);
}

function showAnswer(answer) {
  const results = answer.results.map((result, index) => ({ ...result, rank: index + 1 }));
  const status = `${counted(results.length, "result")} in ${answer.seconds.toFixed(2)} s`;
  if (results.length === 0) {
    say(status, "No picture passes the filter.");
    reveal("none");
    return;
  }
  const [headline, why] = verdictWords(answer.verdict, results[0].similarity);
  at("verdict").textContent = headline;
  at("verdict-why").textContent = why;
  say(status, headline);
  reveal("answer");
  cards.show(results);
  judging.showUnkept(); // which the answer does not know yet
  timeline.show(results);
}

// What is asked

function search() {
  keepFocus(showQuery);
  document.body.classList.toggle("starting", query === null);
  return attempt(query === null ? "" : "Searching …", async (signal) => {
    try {
      await (query === null ? browse(signal) : find(signal));
    } catch (error) {
      if (!signal.aborted) keepFocus(() => reveal(null));
      throw error;
    }
  });
}

async function find(signal) {
  const asked = query;
  const stored = asked.id === undefined ? null : showStored(asked.id, signal);
  const shown = [stored, journey.show(asked.id, signal)];
  const [answer] = await Promise.all([api.search(asked, filterForm.filter, signal), ...shown]);
  judging.answered = { query: asked, content: answer.query.content };
  keepFocus(() => showAnswer(answer));
}

async function browse(signal) {
  const page = await api.pictures(filterForm.filter, 0, BROWSED, signal);
  keepFocus(() => {
    browsed.show(page.pictures);
    showMore(page.next);
    reveal(page.pictures.length === 0 ? "none" : "browse");
  });
}

function showMore(next) {
  at("more").hidden = next === null;
  at("more").onclick = () =>
    attempt("", async (signal) => {
      const page = await api.pictures(filterForm.filter, next, BROWSED, signal);
      browsed.append(page.pictures);
      if (document.activeElement === at("more")) browsed.focus(page.pictures[0]?.id);
      keepFocus(() => showMore(page.next));
    });
}

async function exportLabels() {
  try {
    const url = URL.createObjectURL(await api.manifest());
    element("a", { href: url, download: `${gallery.name}-labels.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), SAVING);
  } catch (error) {
    notice.explain(error, exportLabels);
  }
}

// Where we are: the address names a stored query and the filter, the history's state the way here and a crop

function address(id) {
  const written = api.parameters(filterForm.filter);
  if (id !== undefined) written.set("id", id);
  return `?${written}`;
}

function open(step) {
  const trail = step.id === undefined ? [step] : [...(history.state?.trail ?? []), step];
  history.pushState({ trail, crop: null }, "", address(step.id));
  visit();
  scrollTo({ top: 0 });
  at("found").focus({ preventScroll: true });
}

/** The same query once more: with another filter, or another part of the picture. */
function searchAgain() {
  if (query?.file !== undefined) query = { ...query, crop: crop.box };
  history.replaceState({ ...history.state, crop: query?.crop ?? null }, "", address(query?.id));
  search();
}

function visit() {
  const asked = new URLSearchParams(location.search);
  filterForm.filter = readFilter(asked);
  const trail = history.state?.trail ?? (asked.has("id") ? [{ id: asked.get("id") }] : []);
  if (history.state === null) history.replaceState({ trail, crop: null }, "");
  const last = trail.at(-1);
  const upload = uploads.get(last?.upload);
  if (last?.id !== undefined) query = { id: last.id };
  else query = upload === undefined ? null : { ...upload, crop: history.state.crop };
  keepFocus(() => showTrail(trail));
  search();
  if (last?.upload !== undefined && upload === undefined) {
    notice.show(`${last.name} is not kept when this page is loaded anew; choose it again.`);
  }
}

function take(files) {
  if (gallery === null) early.splice(0, early.length, ...files);
  if (files.length === 0 || at("work").hidden) return; // nothing to search in, as the page says
  const [file] = files;
  if (file.size > gallery.limits.bytes) {
    notice.show(`${file.name} has ${megabytes(file.size)}; the service takes at most ${megabytes(gallery.limits.bytes)}.`);
    return;
  }
  const upload = crypto.getRandomValues(new Uint32Array(1))[0];
  uploads.set(upload, { file, url: URL.createObjectURL(file) });
  open({ upload, name: file.name });
}

// What people do

const crop = new Crop(at("crop"), at("crop-size"), searchAgain);
const filterForm = new FilterForm(at("filter"), searchAgain);

function point(id) {
  cards.highlight(id);
  timeline.highlight(id);
}

const opening = { address: (picture) => address(picture.id), open: (picture) => open({ id: picture.id }) };
const compare = (picture) => comparison.open([...cards.shown.values()], picture);
const cards = new Cards(at("results"), { ...opening, point, compare });
const browsed = new Cards(at("pictures"), opening);
const journey = new Journey(at("journey"), opening);
const judging = new Judging(at("unkept"), (id, judgement) => {
  cards.showJudgement(id, judgement);
  comparison.showJudgement(id, judgement);
});
const comparison = new Comparison(at("compare"), { showQuery: showQueryIn, judging: () => cards.does.judge });
const timeline = new Timeline(at("timeline"), { choose: (id) => cards.focus(id), point });

function croppable(can) {
  at("crop").hidden = !can;
  for (const id of ["crop-size", "crop-help", "search-crop", "whole"]) at(id).hidden = !can;
  at("no-crop").hidden = can;
}

crop.image.addEventListener("load", () => croppable(true));
crop.image.addEventListener("error", () => croppable(false));
at("search-crop").addEventListener("click", searchAgain);
at("whole").addEventListener("click", () => {
  crop.box = null;
  searchAgain();
});
at("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = ""; // so that the same file can be chosen again
});
at("widen").addEventListener("click", () => filterForm.clear());
at("look-again").addEventListener("click", start);
at("export").addEventListener("click", exportLabels);
at("show-keys").addEventListener("click", () => at("keys").showModal());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("found").focus();
});
addEventListener("popstate", () => {
  if (!at("work").hidden) visit(); // until then start() is at work, which reads the address itself
});
addEventListener("beforeunload", (event) => {
  if (judging.waits) event.preventDefault(); // so that the browser asks whether to leave
});
addEventListener("paste", (event) => take([...event.clipboardData.files]));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  take([...event.dataTransfer.files]);
});
addEventListener("keydown", (event) => {
  if (event.key === "?" && !event.target.matches("input, select") && document.querySelector("dialog[open]") === null) {
    at("keys").showModal();
  }
});

function start() {
  return attempt("Loading …", async (signal) => {
    gallery = await api.gallery(signal);
    keepFocus(showGallery);
    filterForm.offer(gallery);
    say("");
    if (gallery.pictures > 0) visit();
    take(early.splice(0));
  });
}

start();
