/** What people hand over to be searched with: files that they choose, drop or paste, and what is no picture. */

const ADDRESS =
  "is an address, not a picture, and the service fetches nothing from elsewhere. Save the picture on this device, then choose its file.";
const TEXT = "is text, not a picture. Choose, drop or paste a picture's file.";
const FOLDER = "is a folder. Open it and choose the pictures in it.";

/**
 * Listens to all that may bring pictures.
 *
 * @param {HTMLInputElement} input
 * @param {function(File[], string)} take is given the pictures, and a sentence on what is none.
 */
export function listen(input, take) {
  let inside = false; // whether what is dragged comes from this page, which is no hand-over
  const show = (shown) => document.body.classList.toggle("dropping", shown);
  input.addEventListener("change", () => {
    take(...sorted([...input.files], ""));
    input.value = ""; // so that the same file can be chosen again
  });
  addEventListener("paste", (event) => {
    if (!event.target.matches?.("input, textarea")) take(...read(event.clipboardData, "What was pasted"));
  });
  addEventListener("dragstart", () => (inside = true));
  addEventListener("dragend", () => (inside = false));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    show(!inside);
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) show(false);
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    show(false);
    if (!inside) take(...read(event.dataTransfer, "What was dropped"));
  });
}

/** The pictures that were dropped or pasted, and a sentence on what is none. */
function read(data, what) {
  const files = [];
  let saying = "";
  for (const item of data.items) {
    if (item.kind !== "file") continue;
    if (item.webkitGetAsEntry?.()?.isDirectory) saying = `${what} ${FOLDER}`;
    else files.push(item.getAsFile());
  }
  if (files.length > 0 || saying !== "") return sorted(files, saying);
  const text = (data.getData("text/uri-list") || data.getData("text/plain")).trim();
  if (text === "") return [[], `${what} holds no picture.`];
  return [[], `${what} ${/^[a-z][a-z0-9+.-]*:\S+$/i.test(text) ? ADDRESS : TEXT}`];
}

/** Parts pictures from files that the browser knows to be something else. */
function sorted(files, saying) {
  const others = files.filter(({ type }) => type !== "" && !type.startsWith("image/"));
  const said = others.length === 0 ? saying : `${others.map(({ name }) => name).join(", ")}: no picture by its name.`;
  return [files.filter((file) => !others.includes(file)), said];
}
