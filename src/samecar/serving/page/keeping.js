/** Pictures of people's own, kept in this browser so that a reload does not lose them; no service learns of it. */

const NAME = "samecar-pictures";
const STORE = "pictures";
const HOUR = 3_600_000; // milliseconds

/** Hours after which a picture is forgotten. */
const HOURS = 8;

/** Most pictures that are kept; the oldest are forgotten for newer ones. */
const MOST = 100;

let opened;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "number" });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
  return opened;
}

/** Does something with what is kept, wholly or not at all. */
async function store(mode, work) {
  const transaction = (await database()).transaction(STORE, mode);
  const done = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
  const value = await work(transaction.objectStore(STORE));
  await done;
  return value;
}

function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Keeps pictures, and forgets those that are too old or too many. */
export async function keep(uploads) {
  const time = Date.now();
  await store("readwrite", (kept) => {
    for (const { number, file } of uploads) kept.put({ number, file, time });
  });
  await forgetOld();
}

/** The files of these numbers that are kept, by number. */
export async function recall(numbers) {
  const found = await store("readonly", (kept) => Promise.all(numbers.map((number) => answer(kept.get(number)))));
  const young = found.filter((one) => one !== undefined && one.time > Date.now() - HOURS * HOUR);
  return new Map(young.map(({ number, file }) => [number, file]));
}

/** Forgets pictures that are too old or too many. */
export async function forgetOld() {
  const every = await store("readonly", (kept) => answer(kept.getAll()));
  every.sort((one, other) => other.time - one.time);
  const gone = every.filter(({ time }, place) => place >= MOST || time <= Date.now() - HOURS * HOUR);
  if (gone.length === 0) return;
  await store("readwrite", (kept) => {
    for (const { number } of gone) kept.delete(number);
  });
}

/** Forgets all pictures, also those of other tabs. */
export async function forgetAll() {
  await store("readwrite", (kept) => answer(kept.clear()));
}
