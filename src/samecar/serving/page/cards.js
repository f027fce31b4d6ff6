/** Pictures of the gallery as a list of cards: to look at, to search on from, to judge. */

import * as api from "./api.js";
import { AGAIN } from "./asking.js";
import { element } from "./elements.js";
import { cameraName, percent, similarityText, timeText, visible, whereText } from "./words.js";

const template = document.querySelector("#card");
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };
const JUDGES = { s: "same", n: "different" };
const NEAR = "1000px"; // around what is seen, where thumbnails are fetched already

const awaited = new Map(); // by frame, what is called when it comes near to what is seen

const watcher = new IntersectionObserver(
  (changes) => {
    for (const { target, isIntersecting } of changes) if (isIntersecting) awaited.get(target)?.();
  },
  { rootMargin: NEAR },
);

/** A list of cards. */
export class Cards {
  /**
   * @param {HTMLElement} list
   * @param {object} does
   * @param {function(object): string} does.address of the search from a picture.
   * @param {function(object)} does.open searches on from a picture.
   * @param {function(object, ?boolean)} does.judge keeps or, with null, takes back a judgement.
   * @param {function(?number)} does.point tells which picture is pointed at.
   * @param {function(object)} does.compare shows a picture beside the query.
   */
  constructor(list, does) {
    this.list = list;
    this.does = does;
    this.shown = new Map(); // pictures by the number in the gallery
    this.showing = new AbortController(); // until other pictures are shown
    list.addEventListener("click", (event) => this.click(event));
    list.addEventListener("keydown", (event) => this.press(event));
    for (const type of ["pointerover", "focusin"]) list.addEventListener(type, (event) => this.point(event.target));
    for (const type of ["pointerleave", "focusout"]) list.addEventListener(type, () => this.point(null));
  }

  /** Shows these pictures instead of others. */
  show(pictures) {
    this.showing.abort();
    this.showing = new AbortController();
    this.shown.clear();
    this.list.replaceChildren();
    this.append(pictures);
  }

  /** Shows more pictures. */
  append(pictures) {
    for (const picture of pictures) {
      this.shown.set(picture.id, picture);
      const card = makeCard(picture, this.does.address(picture), this.does.judge !== undefined);
      fillFrame(card.querySelector(".frame"), picture, "", this.showing.signal);
      this.list.append(card);
    }
  }

  /** Marks the card of a picture, or none, as pointed at. */
  highlight(id) {
    for (const card of this.list.children) card.classList.toggle("pointed", card.dataset.id === String(id));
  }

  /** Takes the keyboard to the card of a picture. */
  focus(id) {
    this.list.querySelector(`[data-id="${id}"] .frame`)?.focus();
  }

  /** Shows the judgement that a picture has now. */
  showJudgement(id, judgement) {
    const picture = this.shown.get(id);
    if (picture === undefined) return;
    picture.judgement = judgement;
    markJudgement(this.list.querySelector(`[data-id="${id}"]`), picture);
  }

  pictureOf(element) {
    return this.shown.get(Number(element?.closest(".card")?.dataset.id));
  }

  point(element) {
    this.does.point?.(this.pictureOf(element)?.id ?? null);
  }

  click(event) {
    const picture = this.pictureOf(event.target);
    const button = event.target.closest(".judge button");
    if (button !== null) {
      this.judge(picture, button.value);
    } else if (event.target.closest(".compare") !== null) {
      this.does.compare(picture);
    } else if (event.target.closest(".frame") !== null && !opensElsewhere(event)) {
      event.preventDefault();
      this.does.open(picture);
    }
  }

  press(event) {
    const picture = this.pictureOf(event.target);
    if (picture === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const word = JUDGES[event.key.toLowerCase()];
    if (word !== undefined && this.does.judge !== undefined) {
      if (!event.repeat) this.judge(picture, word); // a key held down would take it back and give it again
    } else if (event.key.toLowerCase() === "c" && this.does.compare !== undefined) {
      this.does.compare(picture);
    } else if (event.key in STEPS) {
      const cards = [...this.list.children];
      const next = cards[cards.indexOf(event.target.closest(".card")) + STEPS[event.key]];
      next?.querySelector(".frame").focus();
    } else {
      return;
    }
    event.preventDefault();
  }

  judge(picture, word) {
    const same = word === "same";
    this.does.judge(picture, picture.judgement === same ? null : same);
  }
}

/** Whether a click on a link asks for another tab or window. */
function opensElsewhere(event) {
  return event.ctrlKey || event.metaKey || event.shiftKey;
}

/**
 * Shows the picture in a frame once that comes near to what is seen, or says that there is none.
 *
 * @param {HTMLElement} frame
 * @param {object} picture
 * @param {string} description
 * @param {AbortSignal} signal the frame has gone.
 */
export async function fillFrame(frame, picture, description, signal) {
  if (picture.thumbnail === null) return;
  const missing = frame.querySelector(".missing");
  missing.hidden = true;
  try {
    const image = await loaded(await fetched(frame, picture.thumbnail, signal));
    image.alt = description;
    missing.replaceWith(image);
  } catch (error) {
    if (signal.aborted) return;
    if (error.status !== 404) missing.textContent = "thumbnail not loaded";
    missing.hidden = false;
  }
}

/** Fetches a thumbnail; a service that is busy is asked again when it says so. */
async function fetched(frame, path, signal) {
  for (;;) {
    await near(frame, signal);
    try {
      return await api.thumbnail(path, signal);
    } catch (error) {
      if (error.status !== 429 && error.status !== 503) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.wait ?? AGAIN)));
    }
  }
}

/** Fetches all thumbnails of a list, as for paper, also those that are far from what is seen. */
export async function loadAll(list) {
  while (list.querySelector(".missing[hidden]") !== null) {
    for (const missing of list.querySelectorAll(".missing[hidden]")) awaited.get(missing.parentElement)?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function near(frame, signal) {
  signal.throwIfAborted();
  await new Promise((resolve) => {
    awaited.set(frame, resolve);
    signal.addEventListener("abort", resolve, { once: true });
    watcher.observe(frame);
  });
  watcher.unobserve(frame);
  awaited.delete(frame);
  signal.throwIfAborted();
}

/** An image of what was fetched, once it is decoded. */
export async function loaded(content) {
  const image = element("img", { draggable: false });
  const url = URL.createObjectURL(content);
  try {
    await new Promise((resolve, reject) => {
      image.addEventListener("load", resolve);
      image.addEventListener("error", () => reject(new Error("this is no picture")));
      image.src = url;
    });
  } finally {
    URL.revokeObjectURL(url);
  }
  return image;
}

/** A line for each thing that is known about a picture beside camera and time. */
export function knownItems(picture) {
  const known = [["vehicle", picture.vehicle_id], ["track", picture.track_id], ...Object.entries(picture.labels)];
  return known
    .filter(([, value]) => value !== "")
    .map(([name, value]) => element("li", {}, visible(`${name} ${value}`)));
}

function makeCard(picture, address, judged) {
  const card = template.content.firstElementChild.cloneNode(true);
  const part = (name) => card.querySelector(name);
  card.dataset.id = picture.id;
  const description = picture.rank === undefined ? whereText(picture) : `Rank ${picture.rank}. ${whereText(picture)}`;
  part(".frame").href = address;
  part(".frame").setAttribute("aria-label", `${description}. Search on from it`);
  part(".camera").textContent = cameraName(picture.camera_id);
  part(".time").textContent = timeText(picture.time);
  part(".known").append(...knownItems(picture));
  if (picture.rank === undefined) {
    part(".rank-line").remove();
  } else {
    part(".rank").textContent = picture.rank;
    part(".similarity").textContent = `similarity ${similarityText(picture.similarity)}`;
    part(".compare").setAttribute("aria-label", `Compare rank ${picture.rank} with the query`);
  }
  if (picture.probability == null) part(".probability").remove();
  else part(".probability").textContent = `probability ${percent(picture.probability)}`;
  if (judged) {
    part(".judge").setAttribute("aria-label", `Rank ${picture.rank}: is it the same vehicle?`);
    markJudgement(card, picture);
  } else {
    part(".judge").remove();
  }
  return card;
}

function markJudgement(card, picture) {
  card.dataset.judgement = { true: "same", false: "different", null: "none" }[picture.judgement];
  for (const button of card.querySelectorAll(".judge button")) {
    button.setAttribute("aria-pressed", picture.judgement === (button.value === "same"));
  }
}
