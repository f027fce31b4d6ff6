/** The larger pictures of an entry: its original where that may be shown, or what the gallery keeps, of a film several. */

import * as api from "./api.js";
import { fillFrame, loaded } from "./cards.js";
import { element } from "./elements.js";
import { visible } from "./words.js";

/**
 * Shows the largest picture there is of an entry; its thumbnail is seen until that comes.
 *
 * @param {HTMLElement} pane
 * @param {object} picture
 * @param {string} description
 * @param {?HTMLElement} moments where one chooses among the pictures of a film's passage.
 * @param {AbortSignal} signal something else is shown.
 */
export async function fillLarge(pane, picture, description, moments, signal) {
  moments?.replaceChildren();
  if (moments !== null) moments.hidden = true;
  const small = fillFrame(pane, picture, description, signal);
  if (picture.previews === null) return small;
  const listed = await api.larger(picture.previews, signal).catch(() => null); // the thumbnail is there
  await small;
  if (listed === null || signal.aborted) return small;
  const { previews, film, original } = listed;
  let choice = new AbortController(); // ends what is on its way when a person chooses a moment
  signal.addEventListener("abort", () => choice.abort());
  const best = choice.signal;
  if (moments !== null && previews.some(({ seconds }) => seconds !== null)) {
    offerMoments(moments, previews, film, (preview) => {
      choice.abort();
      choice = new AbortController();
      return show(pane, preview.address, description, choice.signal);
    });
  }
  if (previews.length > 0) await show(pane, previews[0].address, description, best);
  if (original !== null && !best.aborted) await show(pane, original, description, best);
}

/** Puts a picture in the place of what a pane shows; gives whether it could. */
async function show(pane, address, description, signal) {
  try {
    const image = await loaded(await api.thumbnail(address, signal));
    if (signal.aborted) return false;
    image.alt = description;
    pane.replaceChildren(image);
    return true;
  } catch {
    return false; // an original that has gone, or a busy service: what was seen before stays
  }
}

/** A button for each picture of a passage, in the order of the film. */
function offerMoments(moments, previews, film, open) {
  const buttons = previews
    .map((preview, place) => ({ preview, place }))
    .sort((one, other) => one.preview.seconds - other.preview.seconds)
    .map(({ preview, place }) => {
      const button = element("button", { type: "button", className: "plain" }, moment(preview.seconds));
      button.setAttribute("aria-pressed", place === 0); // the best is what is seen first
      button.addEventListener("click", async () => {
        if (!(await open(preview))) return;
        for (const other of buttons) other.setAttribute("aria-pressed", other === button);
      });
      return button;
    });
  const name = film === "" ? "the film" : visible(film);
  moments.replaceChildren(element("span", { className: "quiet" }, `Seen in ${name} at`), ...buttons);
  moments.hidden = false;
}

/** "1:02:03.4", "0:07.5": a place in a film. */
function moment(seconds) {
  const tenths = Math.round(seconds * 10);
  const hours = Math.floor(tenths / 36000);
  const minutes = Math.floor(tenths / 600) % 60;
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
