/** What is searched with, as the page shows it: a picture of the gallery, or pictures of people's own. */

import * as api from "./api.js";
import { knownItems } from "./cards.js";
import { Crop } from "./crop.js";
import { element } from "./elements.js";
import { fillLarge } from "./large.js";
import { Strip } from "./strip.js";
import { cutOut } from "./uploads.js";
import { cameraName, timeText, whereText } from "./words.js";

const at = (id) => document.getElementById(id);
const SEARCHED = "The picture that is searched with";

/** A query is {id} of a stored picture, or {uploads, at, together}: pictures, which is shown, whether they are one vehicle. */
export class QueryView {
  /**
   * @param {object} does
   * @param {function()} does.chosen searches with the part that was chosen.
   * @param {function(string)} does.leaveOut leaves a camera out.
   * @param {function(number)} does.select shows another of several pictures.
   * @param {function(boolean)} does.join makes several pictures views of one vehicle, or queries of their own.
   * @param {function(number)} does.remove leaves one of several pictures out.
   */
  constructor(does) {
    this.does = does;
    this.crop = new Crop(at("crop"), at("crop-size"), does.chosen);
    this.strip = new Strip(at("several"), does);
    this.crop.image.addEventListener("load", () => showCrop(true));
    this.crop.image.addEventListener("error", () => showCrop(false));
    at("search-crop").addEventListener("click", does.chosen);
    at("whole").addEventListener("click", () => {
      this.crop.box = null;
      does.chosen();
    });
  }

  /** Shows a query, of which a stored picture comes later, by `showStored`. */
  show(query, limits) {
    at("uploaded").hidden = query?.uploads === undefined;
    at("stored").hidden = query?.id === undefined;
    at("stored").replaceChildren();
    this.showNote(query);
    if (query?.uploads === undefined) return;
    const { uploads, at: place, together } = query;
    const { url, crop } = uploads[place];
    const { image } = this.crop;
    if (image.src !== url || image.naturalWidth === 0) image.src = url;
    image.alt = uploads.length === 1 ? SEARCHED : `${SEARCHED}, ${place + 1} of ${uploads.length}`;
    this.crop.box = crop;
    this.strip.show(uploads, place, together, limits.views);
  }

  /** Says in which form the picture that is shown was sent, where that is not its own. */
  showNote(query) {
    const note = query?.uploads?.[query.at].note ?? "";
    at("sent").textContent = note;
    at("sent").hidden = note === "";
  }

  async showStored(id, cameras, signal) {
    const picture = await api.picture(id, signal);
    const frame = element("div", { className: "frame" }, element("span", { className: "missing", textContent: "no thumbnail" }));
    const moments = element("div", { className: "moments", role: "group", ariaLabel: "Pictures of it in its film" });
    fillLarge(frame, picture, `${SEARCHED}. ${whereText(picture)}`, moments, signal);
    const texts = [`picture ${id}`, cameraName(picture.camera_id), timeText(picture.time)];
    const lines = texts.map((textContent) => element("li", { textContent }));
    const caption = element("figcaption", {}, element("ul", {}, ...lines, ...knownItems(picture)), moments);
    if (cameras > 1) {
      const others = element("button", { type: "button", className: "plain" }, `Leave out ${cameraName(picture.camera_id)}`);
      others.addEventListener("click", () => this.does.leaveOut(picture.camera_id));
      caption.append(others);
    }
    at("stored").replaceChildren(frame, caption);
  }
}

/** Shows what is searched with in an element: the part of an upload that is meant, or a stored picture. */
export async function showQueryIn(query, place, signal) {
  if (query.uploads === undefined) {
    const picture = await api.picture(query.id, signal);
    await fillLarge(place, picture, `${SEARCHED}. ${whereText(picture)}`, null, signal);
    return;
  }
  const upload = query.uploads[query.at];
  const image = await upload.image();
  if (image === null || signal.aborted) return;
  const copy = cutOut(image, upload.crop);
  copy.setAttribute("aria-label", SEARCHED);
  place.replaceChildren(copy);
}

function showCrop(can) {
  at("crop").hidden = !can;
  for (const id of ["crop-size", "crop-help", "search-crop", "whole"]) at(id).hidden = !can;
  at("no-crop").hidden = can;
}
