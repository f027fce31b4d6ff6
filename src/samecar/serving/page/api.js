/** Asks the service. Whatever fails is a ServiceError, except that an abandoned request stays an AbortError. */

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
}

/** Uses a token from now on, until the tab is closed. */
export function rememberToken(text) {
  token = text;
  sessionStorage.setItem(TOKEN, text);
}

/** What the gallery is and holds. */
export async function gallery(signal) {
  return (await request("/api/gallery", { signal })).json();
}

/** A page of the gallery's pictures, from the first number above `beyond`. */
export async function pictures(filter, beyond, limit, signal) {
  const asked = parameters(filter);
  asked.delete("top");
  asked.set("beyond", beyond);
  asked.set("limit", limit);
  return (await request(`/api/pictures?${asked}`, { signal })).json();
}

/** One picture of the gallery. */
export async function picture(id, signal) {
  return (await request(`/api/pictures/${encodeURIComponent(id)}`, { signal })).json();
}

/** What is most similar to a query: one of the gallery by its number, or a file and the part of it that is meant. */
export async function search(query, filter, signal) {
  const asked = parameters(filter);
  if (query.file === undefined) {
    return (await request(`/api/pictures/${encodeURIComponent(query.id)}/similar?${asked}`, { signal })).json();
  }
  const body = new FormData();
  for (const [name, value] of asked) body.append(name, value);
  body.append("picture", query.file, query.file.name);
  if (query.crop !== null) body.append("crop", cropText(query.crop));
  return (await request("/api/search", { method: "POST", body, signal })).json();
}

/** Keeps somebody's word on whether a query and an entry show the same vehicle. */
export async function judge(query, entry, same) {
  const body = new FormData();
  body.append("entry", entry);
  body.append("same", same);
  if (query.file === undefined) {
    body.append("query_id", query.id);
  } else {
    body.append("query", query.file, query.file.name);
    if (query.crop !== null) body.append("crop", cropText(query.crop));
  }
  await request("/api/judgements", { method: "PUT", body });
}

/** Forgets a judgement. */
export async function withdraw(content, entry) {
  await request(`/api/judgements?${new URLSearchParams({ query: content, entry })}`, { method: "DELETE" });
}

/** All judgements as a manifest. */
export async function manifest() {
  return (await request("/api/judgements/manifest")).blob();
}

/** A thumbnail, from where the service says that it is. */
export async function thumbnail(path, signal) {
  return (await request(path, { signal })).blob(); // an <img> sends no token, and does not say why it shows nothing
}

/** A filter as the service and the page's own address write it. */
export function parameters(filter) {
  const written = new URLSearchParams();
  const name = { only: "camera", except: "not_camera" }[filter.mode];
  if (name !== undefined) for (const camera of filter.cameras) written.append(name, camera);
  for (const side of ["after", "before"]) if (filter[side] !== "") written.set(side, filter[side]);
  written.set("top", filter.top);
  return written;
}

function cropText(crop) {
  return crop.map((share) => share.toFixed(6)).join(",");
}

async function request(path, options = {}) {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(0, "the service cannot be reached; see whether it still runs, then try again");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

async function failure(response) {
  const wait = Number.parseInt(response.headers.get("Retry-After"), 10);
  let message = `the service answered ${response.status} ${response.statusText}`;
  if (response.headers.get("Content-Type")?.startsWith("application/json")) {
    message = (await response.json()).error?.message ?? message;
  }
  return new ServiceError(response.status, message, Number.isNaN(wait) ? null : wait);
}
