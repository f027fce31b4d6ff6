/** Numbers, times and sentences as people read them. */

const NUMBER = new Intl.NumberFormat("en");
const JOINT = "\u00a0"; // a space at which no line ends

/** A text from elsewhere in which signs that turn text around, and control characters, are written out. */
export function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, written);
}

function written(sign) {
  return `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** "1 picture", "1,014 pictures". */
export function counted(number, one, many = `${one}s`) {
  return `${NUMBER.format(number)} ${number === 1 ? one : many}`;
}

/** A similarity with the digits that tell neighbours in a ranking apart. */
export function similarityText(similarity) {
  return similarity.toFixed(3);
}

/** "87 %"; never 0 % or 100 %, which nothing learned from pictures can claim. */
export function percent(share) {
  if (share < 0.01) return `below 1${JOINT}%`;
  if (share > 0.99) return `above 99${JOINT}%`;
  return `${Math.round(share * 100)}${JOINT}%`;
}

/** A rate that was chosen by somebody: "5 %", "0.1 %". */
export function rateText(rate) {
  return `${Number((rate * 100).toPrecision(2))}${JOINT}%`;
}

/** "2026-03-01 07:45:10 UTC", or that it is not known. */
export function timeText(time) {
  return time === null ? "time unknown" : `${plainTime(time)}${JOINT}UTC`;
}

/** The same without its zone, for columns whose head names it. */
export function plainTime(time) {
  return new Date(time).toISOString().slice(0, 19).replace("T", " ");
}

/** The name of a camera, also of one that nobody named. */
export function cameraName(camera) {
  return camera === "" ? "unknown camera" : visible(camera);
}

/** "Camera north, 2026-03-01 07:45:10 UTC". */
export function whereText(picture) {
  const camera = picture.camera_id === "" ? "Unknown camera" : `Camera ${visible(picture.camera_id)}`;
  return `${camera}, ${timeText(picture.time)}`;
}

/** Bytes in the unit that limits are spoken of. */
export function megabytes(bytes) {
  return `${NUMBER.format(Number((bytes / 1e6).toPrecision(3)))}${JOINT}MB`;
}

/** Service messages start small and end without a full stop. */
export function sentence(message) {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.?!]$/.test(text) ? text : `${text}.`;
}

/** The answer to whether the vehicle is in the gallery: a headline, and what it rests on. */
export function verdictWords(verdict, best) {
  const found = `The best similarity is ${similarityText(best)}`;
  if (verdict.in_gallery === null) {
    return ["The most similar pictures", `${found}. This gallery is not calibrated, so there is no saying whether the vehicle is in it.`];
  }
  const headline = verdict.in_gallery ? "Probably in this gallery." : "No sure match in this gallery.";
  return [headline, `${likelihoodWords(verdict)} ${found}${thresholdWords(verdict)}.${itselfWords(best)}`];
}

/** What a probability cannot know: that the best is the picture that was searched with. */
function itselfWords(best) {
  return similarityText(best) === "1.000" ? " So much is nearly always the very same picture, which these numbers cannot know." : "";
}

function likelihoodWords({ probability, prior }) {
  const before = `before looking it was ${percent(prior.in_gallery)}${prior.stated ? ", as stated" : ""}`;
  const vehicles = counted(Math.round(prior.vehicles), "vehicle");
  return `That the vehicle is here: ${percent(probability)}; ${before}, among ${vehicles} (by ${prior.source}).`;
}

function thresholdWords({ in_gallery, threshold, false_alarm_rate }) {
  if (threshold === null) return "";
  const meaning = `at which ${rateText(false_alarm_rate)} of vehicles that are not here would be reported`;
  return in_gallery ? `; the threshold is ${similarityText(threshold)}, ${meaning}` : `, and the threshold ${similarityText(threshold)}, ${meaning}`;
}
