/** The page: which query is shown, what is found with it, and what people say about that. */

import * as api from "./api.js";
import { attempt, notice, say } from "./asking.js";
import { Cards } from "./cards.js";
import { Comparison } from "./compare.js";
import { element, keepFocus } from "./elements.js";
import { FilterForm, readFilter } from "./filter.js";
import { listen } from "./handing.js";
import { Journey } from "./journey.js";
import { Judging } from "./judging.js";
import * as keeping from "./keeping.js";
import { QueryView, showQueryIn } from "./query.js";
import { Record, save } from "./record.js";
import { Timeline } from "./timeline.js";
import { Upload } from "./uploads.js";
import { counted, plainTime, timeText, verdictWords, visible } from "./words.js";

const BROWSED = 24; // pictures of the gallery that are shown at a time
const STEPS = { ",": -1, "<": -1, ".": 1, ">": 1 }; // of keys, from one picture to another
const TOGETHER = 50; // most pictures that are taken at a time

const at = (id) => document.getElementById(id);

let gallery = null;
let query = null; // {id} of a stored picture, or {uploads, at, together}: see query.js
const uploads = new Map(); // pictures by the number that the browser's history keeps
let early = null; // what was handed over before the gallery was known
let adds = false; // whether what is chosen next is added to the pictures that are there
let visits = 0;

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

function showTrail(trail) {
  const items = trail.map((step, index) => {
    const name = nameOf(step);
    if (index === trail.length - 1) return element("li", { ariaCurrent: "page" }, name);
    const button = element("button", { type: "button", className: "plain" }, name);
    button.addEventListener("click", () => history.go(index + 1 - trail.length));
    return element("li", {}, button);
  });
  at("trail").hidden = trail.length < 2;
  at("trail").querySelector("ol").replaceChildren(...items);
}
function nameOf({ id, uploads: own = [], at: shown, together }) {
  if (id !== undefined) return `picture ${id}`;
  return together ? counted(own.length, "view") : (own[shown]?.name ?? "");
}

function showAnswer(answer) {
  const results = answer.results.map((result, index) => ({ ...result, rank: index + 1 }));
  const own = query.together ? 1 : (query.uploads?.length ?? 1);
  const which = own > 1 ? `Picture ${query.at + 1} of ${own}: ` : "";
  const status = `${which}${counted(results.length, "result")} in ${answer.seconds.toFixed(2)} s`;
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
  record.show(gallery, query, filterForm.filter, { ...answer, when: Date.now() }, results);
}

// What is asked

function search() {
  keepFocus(() => view.show(query, gallery.limits));
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
  const asked = query.id === undefined ? { sent: await makeSent(query) } : query;
  signal.throwIfAborted();
  const stored = asked.id === undefined ? null : view.showStored(asked.id, gallery.cameras.length, signal);
  const shown = [stored, journey.show(asked.id, signal)];
  const [answer] = await Promise.all([api.search(asked, filterForm.filter, signal), ...shown]);
  signal.throwIfAborted(); // something else was asked while this answer came
  judging.answered = { query: asked, content: answer.query.content };
  keepFocus(() => showAnswer(answer));
}

/** What the service is sent of people's own pictures: one of them, or all as views of one vehicle. */
async function makeSent({ uploads: own, at: shown, together }) {
  const searched = together ? own : [own[shown]];
  const sent = await Promise.all(searched.map((upload) => upload.sent(gallery.limits, searched.length)));
  view.showNote(query);
  return sent;
}

async function browse(signal) {
  const page = await api.pictures(filterForm.filter, 0, BROWSED, signal);
  signal.throwIfAborted();
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
    save(await api.manifest(), `${gallery.name}-labels.csv`);
  } catch (error) {
    notice.explain(error, exportLabels);
  }
}

// Where we are: the address names a stored query and the filter, the history's state the way here and the crops

function address(id) {
  const written = api.parameters(filterForm.filter);
  if (id !== undefined) written.set("id", id);
  return `?${written}`;
}

function open(step) {
  const trail = step.id === undefined ? [step] : [...(history.state?.trail ?? []), step];
  history.pushState({ trail, crops: {} }, "", address(step.id));
  visit();
  scrollTo({ top: 0 });
  at("found").focus({ preventScroll: true });
}

/** The same query once more: with another filter, or another part of the picture. */
function searchAgain() {
  if (query?.uploads !== undefined) query.uploads[query.at].crop = view.crop.box;
  remember();
  search();
}

/** Has the browser's history keep what is searched with now. */
function remember() {
  const { trail } = history.state;
  const before = trail.slice(0, -1);
  const crops = Object.fromEntries((query?.uploads ?? []).map(({ number, crop }) => [number, crop]));
  const now = query?.uploads === undefined ? trail : [...before, stepOf(query)];
  history.replaceState({ trail: now, crops }, "", address(query?.id));
  keepFocus(() => showTrail(now));
}

function stepOf({ uploads: own, at: shown, together }) {
  return { uploads: own.map(({ number, name }) => ({ number, name })), at: shown, together };
}

async function visit() {
  const turn = (visits += 1);
  const asked = new URLSearchParams(location.search);
  filterForm.filter = readFilter(asked);
  const trail = history.state?.trail ?? (asked.has("id") ? [{ id: asked.get("id") }] : []);
  if (history.state === null) history.replaceState({ trail, crops: {} }, "");
  const last = trail.at(-1);
  const own = last?.uploads ?? [];
  const crops = history.state.crops ?? {};
  if (own.some(({ number }) => !uploads.has(number))) await recall(own);
  if (turn !== visits) return; // somebody went elsewhere meanwhile
  const there = own.map(({ number }) => uploads.get(number)).filter((upload) => upload !== undefined);
  for (const upload of there) upload.crop = crops[upload.number] ?? null;
  if (last?.id !== undefined) query = { id: last.id };
  else if (there.length === 0) query = null;
  else query = { uploads: there, at: Math.min(last.at, there.length - 1), together: last.together && there.length > 1 };
  keepFocus(() => showTrail(trail));
  search();
  const gone = own.filter(({ number }) => !uploads.has(number)).map(({ name }) => name);
  if (gone.length > 0) notice.show(`This browser no longer keeps ${gone.join(", ")}; choose it again.`);
}

/** Gets pictures back that the browser has kept. */
async function recall(own) {
  const kept = await stored(keeping.recall(own.map(({ number }) => number)));
  for (const [number, file] of kept ?? []) if (!uploads.has(number)) uploads.set(number, new Upload(number, file));
}

/** Waits for the browser's store of pictures; where it does not work, as some private windows have it, the page says so. */
async function stored(work) {
  try {
    return await work;
  } catch (error) {
    at("kept").textContent = `This browser keeps no pictures, so that a reload loses them (${error.name}).`;
    return null;
  }
}

/** Searches with pictures that were handed over; `saying` tells what else was. */
function take(files, saying) {
  if (gallery === null) early = [files, saying];
  if (gallery === null || at("work").hidden) return; // nothing to search in, as the page says
  const before = adds && query?.uploads !== undefined ? query.uploads : [];
  adds = false;
  const taken = files.slice(0, TOGETHER - before.length);
  if (taken.length > 0) {
    const added = taken.map((file) => new Upload(crypto.getRandomValues(new Uint32Array(1))[0], file));
    for (const upload of added) uploads.set(upload.number, upload);
    stored(keeping.keep(added));
    if (before.length === 0) open(stepOf({ uploads: added, at: 0, together: false }));
    else change({ ...query, uploads: [...before, ...added], at: query.together ? query.at : before.length });
  }
  const left = taken.length < files.length ? `At most ${TOGETHER} pictures are taken at a time; the others are left out. ` : "";
  if (left + saying !== "") notice.show(left + saying);
}

/** Searches with other pictures of those that were chosen. */
function change(changed) {
  const { together, uploads: own } = changed;
  query = { ...changed, together: together && own.length > 1 && own.length <= gallery.limits.views };
  remember();
  search();
}

function select(shown) {
  if (!query.together) change({ ...query, at: shown });
  else {
    query = { ...query, at: shown }; // the answer to all views stays
    remember();
    view.show(query, gallery.limits);
  }
}

function remove(place) {
  const left = query.uploads.filter((_, index) => index !== place);
  change({ ...query, uploads: left, at: Math.min(query.at - (place < query.at ? 1 : 0), left.length - 1) });
}

async function forget() {
  await stored(keeping.forgetAll());
  for (const upload of uploads.values()) upload.close();
  uploads.clear();
  history.pushState({ trail: [], crops: {} }, "", address());
  await visit();
  say("No picture of yours is kept in this browser.");
}

// What people do

const view = new QueryView({
  chosen: searchAgain,
  leaveOut: (camera) => filterForm.leaveOut(camera),
  select,
  join: (together) => change({ ...query, together }),
  remove,
});
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
const judging = new Judging(at("unkept"), at("contrary"), (id, judgement) => {
  cards.showJudgement(id, judgement);
  comparison.showJudgement(id, judgement);
});
const comparison = new Comparison(at("compare"), {
  showQuery: (place, signal) => showQueryIn(query, place, signal),
  judging: () => cards.does.judge,
});
const record = new Record(at("answer"));
const timeline = new Timeline(at("timeline"), { choose: (id) => cards.focus(id), point });

listen(at("file"), take);
at("add").addEventListener("click", () => {
  adds = true;
  at("file").click();
});
at("file").addEventListener("cancel", () => (adds = false));
at("forget").addEventListener("click", forget);
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
addEventListener("keydown", (event) => {
  if (event.key === "?" && !event.target.matches("input, select") && document.querySelector("dialog[open]") === null) {
    at("keys").showModal();
  }
  const by = event.ctrlKey || event.metaKey || event.altKey ? undefined : STEPS[event.key];
  if (by !== undefined && event.target.matches?.("#several *, #found, #found *")) view.strip.step(by);
});

async function offerLabels() {
  try {
    filterForm.offerLabels(await api.labels());
  } catch (error) {
    notice.explain(error, offerLabels, "The filter offers no labels. ");
  }
}

function start() {
  return attempt("Loading …", async (signal) => {
    gallery = await api.gallery(signal);
    keepFocus(showGallery);
    filterForm.offer(gallery);
    say("");
    if (gallery.pictures > 0) {
      offerLabels();
      await visit();
    }
    if (early !== null) take(...early);
    early = null;
  });
}

stored(keeping.forgetOld());
start();
