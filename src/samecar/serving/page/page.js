/** The page: which query is shown, what is found with it, and what people say about that. */

import * as api from "./api.js";
import { Cards, fillFrame, knownItems } from "./cards.js";
import { Crop } from "./crop.js";
import { FilterForm, readFilter } from "./filter.js";
import { Timeline } from "./timeline.js";
import { cameraName, counted, megabytes, plainTime, sentence, timeText, verdictWords, whereText } from "./words.js";

const AGAIN = 3; // seconds until a busy service is asked again, where it names no time
const BROWSED = 24; // pictures of the gallery that are shown at a time

const at = (id) => document.getElementById(id);

let gallery = null;
let query = null; // {id} of a stored picture, or {file, url, crop}
let answered = null; // {id, content} of the query of the results that are shown
let running = new AbortController(); // of the question that is under way
let again; // timer until a question is asked once more
const uploads = new Map(); // files by the number that the browser's history keeps

// What is shown

function notice(text, button = null) {
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
function say(text, spoken = "") {
  const [seen, heard] = at("status").children;
  seen.textContent = text;
  heard.textContent = spoken;
}

function reveal(id) {
  for (const part of ["answer", "none", "browse"]) at(part).hidden = part !== id;
}

/** Does some work that asks the service; an older one is abandoned. Asks again where that may help. */
async function attempt(saying, work) {
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

function explain(error, repeat) {
  if (!(error instanceof api.ServiceError)) {
    notice("Something is wrong with this page; the browser's console says more.");
    throw error;
  }
  const text = sentence(error.message);
  if (error.status === 401) {
    askToken(repeat);
  } else if (error.status === 429 || error.status === 503) {
    const wait = error.wait ?? AGAIN;
    again = setTimeout(repeat, wait * 1000);
    notice(`${text} Trying again in ${wait} s.`, { text: "Try now", press: repeat });
  } else {
    const mayPass = error.status === 0 || error.status === 408 || error.status >= 500;
    notice(text, mayPass ? { text: "Try again", press: repeat } : null);
  }
}

function askToken(repeat) {
  const dialog = at("ask-token");
  const asked = dialog.open;
  dialog.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    const token = at("token").value.trim();
    if (!/^[\x21-\x7e]+$/.test(token)) {
      at("token-error").textContent = "A token has plain letters, digits and signs, and no spaces.";
      return;
    }
    api.rememberToken(token);
    at("token-error").textContent = "This token was not accepted.";
    dialog.close();
    repeat();
  };
  if (!asked) dialog.showModal();
  at("token").select();
}

function showGallery() {
  const cameras = counted(gallery.cameras.length, "camera");
  const span = gallery.first === null ? "" : `${plainTime(gallery.first)} to ${timeText(gallery.last)}`;
  document.title = `${gallery.name} – samecar`;
  const facts = [gallery.name, counted(gallery.pictures, "picture"), cameras, span, gallery.writable ? "" : "read-only"];
  at("facts").replaceChildren(...facts.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
  cards.does.judge = gallery.writable ? judge : undefined;
  at("export").hidden = false;
  at("empty").hidden = gallery.pictures > 0;
  at("empty").querySelector("code").textContent = `samecar gallery add ${gallery.name} SOURCE`;
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
  const frame = Object.assign(document.createElement("div"), { className: "frame" });
  frame.append(Object.assign(document.createElement("span"), { className: "missing", textContent: "no thumbnail" }));
  fillFrame(frame, picture, `The picture that is searched with. ${whereText(picture)}`);
  const lines = document.createElement("ul");
  const texts = [`picture ${id}`, cameraName(picture.camera_id), timeText(picture.time)];
  lines.append(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })), ...knownItems(picture));
  const caption = document.createElement("figcaption");
  caption.append(lines);
  if (gallery.cameras.length > 1) {
    const others = Object.assign(document.createElement("button"), { type: "button", className: "plain" });
    others.textContent = `Leave out ${cameraName(picture.camera_id)}`;
    others.addEventListener("click", () => filterForm.leaveOut(picture.camera_id));
    caption.append(others);
  }
  at("stored").replaceChildren(frame, caption);
}

function showTrail(trail) {
  const items = trail.map((step, index) => {
    const item = document.createElement("li");
    const name = step.id === undefined ? step.name : `picture ${step.id}`;
    if (index === trail.length - 1) {
      item.textContent = name;
      item.setAttribute("aria-current", "page");
    } else {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "plain", textContent: name });
      button.addEventListener("click", () => history.go(index + 1 - trail.length));
      item.append(button);
    }
    return item;
  });
  at("trail").hidden = trail.length < 2;
  at("trail").querySelector("ol").replaceChildren(...items);
}

function showAnswer(answer) {
  answered = answer.query;
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
  timeline.show(results);
}

// What is asked

function search() {
  showQuery();
  document.body.classList.toggle("starting", query === null);
  return attempt(query === null ? "" : "Searching …", async (signal) => {
    try {
      await (query === null ? browse(signal) : find(signal));
    } catch (error) {
      if (!signal.aborted) reveal(null);
      throw error;
    }
  });
}

async function find(signal) {
  const answer = api.search(query, filterForm.filter, signal);
  const stored = query.id === undefined ? null : showStored(query.id, signal);
  const [found] = await Promise.all([answer, stored]);
  showAnswer(found);
}

async function browse(signal) {
  const page = await api.pictures(filterForm.filter, 0, BROWSED, signal);
  browsed.show(page.pictures);
  showMore(page.next);
  reveal(page.pictures.length === 0 ? "none" : "browse");
}

function showMore(next) {
  at("more").hidden = next === null;
  at("more").onclick = () =>
    attempt("", async (signal) => {
      const page = await api.pictures(filterForm.filter, next, BROWSED, signal);
      browsed.append(page.pictures);
      showMore(page.next);
    });
}

async function judge(picture, same) {
  const before = picture.judgement;
  const content = answered.content;
  picture.judgement = same;
  cards.showJudgement(picture);
  try {
    if (same === null) await api.withdraw(content, picture.id);
    else await api.judge(query, picture.id, same);
    const word = { true: "the same vehicle", false: "not the same vehicle", null: "not judged" }[same];
    say(`Rank ${picture.rank}: ${word}`);
  } catch (error) {
    picture.judgement = before;
    cards.showJudgement(picture);
    explain(error, () => judge(picture, same));
  }
}

async function exportLabels() {
  try {
    const url = URL.createObjectURL(await api.manifest());
    Object.assign(document.createElement("a"), { href: url, download: `${gallery.name}-labels.csv` }).click();
    URL.revokeObjectURL(url);
  } catch (error) {
    explain(error, exportLabels);
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
  showTrail(trail);
  search();
  if (last?.upload !== undefined && upload === undefined) {
    notice(`${last.name} is not kept when this page is loaded anew; choose it again.`);
  }
}

function take(files) {
  if (files.length === 0 || at("work").hidden) return; // nothing to search in, as the page says
  const [file] = files;
  if (file.size > gallery.limits.bytes) {
    notice(`${file.name} has ${megabytes(file.size)}; the service takes at most ${megabytes(gallery.limits.bytes)}.`);
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
const cards = new Cards(at("results"), { ...opening, point });
const browsed = new Cards(at("pictures"), opening);
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
at("export").addEventListener("click", (event) => {
  event.preventDefault();
  exportLabels();
});
at("show-keys").addEventListener("click", () => at("keys").showModal());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("found").focus();
});
addEventListener("popstate", visit);
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
    showGallery();
    filterForm.offer(gallery);
    say("");
    if (gallery.pictures > 0) visit();
  });
}

start();
