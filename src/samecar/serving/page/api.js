/**
 * Asks the service. Whatever fails is a ServiceError, except that an abandoned request stays an AbortError.
 *
 * Addresses are relative to the page's, which may lie below a prefix of a proxy's.
 */

import { writeLabels } from "./labels.js";

const TOKEN = "samecar-token";

let token = sessionStorage.getItem(TOKEN);

/** A question that was not answered. */
export class ServiceError extends Error {
  /**
   * @param {number} status of HTTP; 0 where there was no answer at all.
   * @param {string} message one sentence for people.
   * @param {?number} wait seconds after which the service asks to try again.
   */
  constructor(status, message, wait = null) {
    super(message);
    this.status = status;
    this.wait = wait;
  }

  /** Whether the same question may be answered another time. */
  get mayPass() {
    return [0, 401, 408, 429].includes(this.status) || this.status >= 500;
  }
}

/** Uses a token from now on, until the tab is closed. */
export function rememberToken(text) {
  token = text;
  sessionStorage.setItem(TOKEN, text);
}

/** What the gallery is and holds. */
export async function gallery(signal) {
  return request("api/gallery", { signal });
}

/** The labels of the gallery's pictures, with their values. */
export async function labels(signal) {
  return (await request("api/labels", { signal })).labels;
}

/** A page of the gallery's pictures, from the first number above `beyond`. */
export async function pictures(filter, beyond, limit, signal) {
  const asked = parameters(filter);
  asked.delete("top");
  asked.set("beyond", beyond);
  asked.set("limit", limit);
  return request(`api/pictures?${asked}`, { signal });
}

/** One picture of the gallery. */
export async function picture(id, signal) {
  return request(`api/pictures/${encodeURIComponent(id)}`, { signal });
}

/** The pictures of a stored one's journey, in the order of time; none where it was not linked. */
export async function journey(id, signal) {
  return request(`api/pictures/${encodeURIComponent(id)}/journey`, { signal });
}

/** What is most similar to a query: {id} of the gallery, or {sent}, views of one vehicle: files, and parts of them. */
export async function search(query, filter, signal) {
  const asked = parameters(filter);
  if (query.sent === undefined) {
    return request(`api/pictures/${encodeURIComponent(query.id)}/similar?${asked}`, { signal });
  }
  const body = new FormData();
  for (const [name, value] of asked) body.append(name, value);
  appendViews(body, "picture", query.sent);
  return request("api/search", { method: "POST", body, signal });
}

/** Keeps somebody's word on whether a query and an entry show the same vehicle; `replace` what was said otherwise, or not. */
export async function judge(query, entry, same, replace) {
  const body = new FormData();
  body.append("entry", entry);
  body.append("same", same);
  body.append("replace", replace);
  if (query.sent === undefined) body.append("query_id", query.id);
  else appendViews(body, "query", query.sent);
  await request("api/judgements", { method: "PUT", body });
}

/** Forgets a judgement that says this, where there is one. */
export async function withdraw(content, entry, same) {
  const asked = new URLSearchParams({ query: content, entry, same });
  try {
    await request(`api/judgements?${asked}`, { method: "DELETE" }, () => null);
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}

/** All judgements as a manifest. */
export async function manifest() {
  return request("api/judgements/manifest", {}, (response) => response.blob());
}

/** A thumbnail, from where the service says that it is. */
export async function thumbnail(path, signal) {
  const below = path.replace(/^\//, ""); // the service does not know of a prefix that a proxy puts before its addresses
  return request(below, { signal }, (response) => response.blob()); // an <img> sends no token, nor says why it is empty
}

/** The larger pictures of an entry, from where the service says that they are listed. */
export async function larger(path, signal) {
  return request(path.replace(/^\//, ""), { signal });
}

/** A filter as the service and the page's own address write it. */
export function parameters(filter) {
  const written = new URLSearchParams();
  const name = { only: "camera", except: "not_camera" }[filter.mode];
  if (name !== undefined) for (const camera of filter.cameras) written.append(name, camera);
  for (const side of ["after", "before"]) if (filter[side] !== "") written.set(side, filter[side]);
  writeLabels(filter.labels, written);
  written.set("top", filter.top);
  return written;
}

function appendViews(body, name, views) {
  for (const { file } of views) body.append(name, file, file.name);
  if (views.every(({ crop }) => crop === null)) return;
  for (const { crop } of views) body.append("crop", crop === null ? "" : crop.map((share) => share.toFixed(6)).join(","));
}

async function request(path, options, read = (response) => response.json()) {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  const unreachable = "the service cannot be reached; see whether it still runs, then try again";
  const response = await orFailure(fetch(path, { ...options, headers }), unreachable);
  if (!response.ok) throw await failure(response);
  return orFailure(read(response), "the service's answer was cut off or cannot be read; try again");
}

async function orFailure(coming, message) {
  try {
    return await coming;
  } catch (error) {
    throw error.name === "AbortError" ? error : new ServiceError(0, message);
  }
}

async function failure(response) {
  const wait = Number.parseInt(response.headers.get("Retry-After"), 10);
  let message = `the service answered ${response.status} ${response.statusText}`;
  if (response.headers.get("Content-Type")?.startsWith("application/json")) {
    const said = await response.json().catch(() => null); // the status is known, also where the rest is cut off
    message = said?.error?.message ?? message;
  }
  return new ServiceError(response.status, message, Number.isNaN(wait) ? null : wait);
}
