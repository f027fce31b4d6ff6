/** Pictures of people's own, and how they are made to fit what the service takes. */

import { ServiceError } from "./api.js";
import { megabytes, visible } from "./words.js";

const FORM = 16_000; // bytes of a form beside its pictures: fields, and the lines between parts
const TAKEN = ["", "image/jpeg", "image/png", "image/bmp", "image/webp", "image/tiff"]; // "" where the browser knows none
const QUALITY = 0.92; // of a JPEG that is made here
const STEP = 0.8; // times as large as the try before that was still too large
const SMALLEST = 16; // pixels of the shorter side of what is still worth sending
const WHOLE = [0, 0, 1, 1];
const SHOWN = 16e6; // pixels of a copy that is only looked at

/** A picture that somebody chose. */
export class Upload {
  #image;
  #made = null; // what was made of it for the service last, and of which part for how much room

  /**
   * @param {number} number by which the browser's history and its store know it.
   * @param {File} file
   * @param {?number[]} crop left, top, width and height as shares of the upright picture; null for all of it.
   */
  constructor(number, file, crop = null) {
    this.number = number;
    this.file = file;
    this.url = URL.createObjectURL(file);
    this.crop = crop;
    this.note = ""; // in which form it was sent last, where that is not its own
  }

  get name() {
    return visible(this.file.name);
  }

  /** The upright picture; null where the browser cannot show it. */
  image() {
    this.#image ??= new Promise((resolve) => {
      const image = new Image();
      image.addEventListener("load", () => resolve(image.naturalWidth > 0 ? image : null));
      image.addEventListener("error", () => resolve(null));
      image.src = this.url;
    });
    return this.#image;
  }

  /** Lets the browser forget it. */
  close() {
    URL.revokeObjectURL(this.url);
  }

  /**
   * What the service is sent, {file, crop}: the file and the part that is meant; or, where it takes no such file, a JPEG
   * of that part.
   *
   * @param {object} limits of the service.
   * @param {number} count how many pictures are sent together.
   */
  async sent(limits, count) {
    const room = Math.floor(Math.max(limits.bytes - FORM, limits.bytes / 2) / count);
    const { file, crop } = this;
    const image = await this.image();
    const small = file.size <= room;
    this.note = "";
    if (image === null) {
      if (small) return { file, crop };
      const most = count === 1 ? megabytes(limits.bytes) : `${megabytes(room)} of each of ${count} pictures`;
      const says = `the file ${this.name} has ${megabytes(file.size)}; the service takes at most ${most}`;
      throw new ServiceError(413, `${says}, and this browser cannot open the file to make it smaller; save it as JPEG`);
    }
    const fits = image.naturalWidth * image.naturalHeight <= limits.pixels;
    if (small && fits && TAKEN.includes(file.type)) return { file, crop };
    const key = `${crop} ${room} ${limits.pixels}`;
    const made = this.#made?.key === key ? this.#made : { key, ...(await this.#make(image, crop, limits.pixels, room)) };
    this.#made = made;
    this.note = made.note;
    return { file: made.content, crop: null };
  }

  async #make(image, crop, pixels, room) {
    const [, , width, height] = boxOf(image, crop);
    let scale = Math.min(1, Math.sqrt(pixels / (width * height)));
    do {
      const copy = drawn(image, crop, scale);
      const content = await new Promise((resolve) => copy.toBlob(resolve, "image/jpeg", QUALITY));
      if (content !== null && content.size <= room) {
        const name = `${this.file.name.replace(/\.[^.]*$/, "")}.jpg`;
        const note = `Sent as a JPEG of ${copy.width} × ${copy.height} pixels, ${megabytes(content.size)}, made in this browser.`;
        return { content: new File([content], name, { type: "image/jpeg" }), note };
      }
      scale *= STEP;
    } while (scale * Math.min(width, height) >= SMALLEST);
    throw new ServiceError(413, `the picture ${this.name} cannot be made as small as this service asks for; choose a smaller part of it`);
  }
}

/** A copy of a part of a picture, or of all of it, to look at. */
export function cutOut(image, box) {
  const [, , width, height] = boxOf(image, box);
  const copy = drawn(image, box, Math.min(1, Math.sqrt(SHOWN / (width * height))));
  copy.setAttribute("role", "img");
  return copy;
}

/** Left, top, width and height of a part in pixels, rounded as the service rounds them. */
function boxOf({ naturalWidth, naturalHeight }, box) {
  const [left, top, across, down] = box ?? WHOLE;
  const x = Math.min(Math.round(left * naturalWidth), naturalWidth - 1);
  const y = Math.min(Math.round(top * naturalHeight), naturalHeight - 1);
  const right = Math.min(Math.max(Math.round((left + across) * naturalWidth), x + 1), naturalWidth);
  const bottom = Math.min(Math.max(Math.round((top + down) * naturalHeight), y + 1), naturalHeight);
  return [x, y, right - x, bottom - y];
}

function drawn(image, box, scale) {
  const [x, y, width, height] = boxOf(image, box);
  const copy = document.createElement("canvas");
  copy.width = Math.max(1, Math.floor(width * scale));
  copy.height = Math.max(1, Math.floor(height * scale));
  const context = copy.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x, y, width, height, 0, 0, copy.width, copy.height);
  return copy;
}
