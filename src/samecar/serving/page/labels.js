/** Which labels pictures must have: a list of values for each label, or a text where it has too many to list. */

import { element } from "./elements.js";
import { counted, visible } from "./words.js";

/** Labels that have parameters of their own in addresses, and that come first. */
const FIRST = ["type", "colour"];

/** Labels as parameters of the service and of the page's own address. */
export function writeLabels(labels, written) {
  for (const [name, values] of Object.entries(labels)) {
    for (const value of values) {
      if (FIRST.includes(name)) written.append(name, value);
      else written.append("label", `${name}=${value}`);
    }
  }
}

/** The labels in an address. */
export function readLabels(asked) {
  const labels = Object.create(null); // a label may be called as what every object has
  const add = (name, value) => (labels[name] ??= []).push(value);
  for (const name of FIRST) for (const value of asked.getAll(name)) add(name, value);
  for (const choice of asked.getAll("label")) {
    const equals = choice.indexOf("=");
    if (equals > 0) add(choice.slice(0, equals), choice.slice(equals + 1));
  }
  return labels;
}

/** What labels say, in a few words: "type car or van". */
export function describeLabels(labels) {
  return Object.entries(labels).map(([name, values]) => visible(`${name} ${values.join(" or ")}`));
}

export class LabelChoices {
  #groups = new Map(); // by the label's name

  constructor(place) {
    this.place = place;
  }

  /** Offers the labels of a gallery; what is chosen stays. */
  offer(offered) {
    const { chosen } = this;
    const place = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
    const named = offered.filter(({ name }) => name !== "").sort((one, other) => place(one.name) - place(other.name));
    this.#groups = new Map(named.map((label) => [label.name, makeGroup(label)]));
    this.place.replaceChildren(...this.#groups.values());
    this.chosen = chosen;
  }

  /** Values by label. */
  get chosen() {
    const chosen = [...this.#groups].map(([name, group]) => [name, valuesOf(group)]);
    return Object.fromEntries(chosen.filter(([, values]) => values.length > 0));
  }

  set chosen(labels) {
    for (const [name, values] of Object.entries(labels)) {
      if (!this.#groups.has(name)) {
        const group = makeGroup({ name, values: values.map((value) => ({ value })) });
        this.#groups.set(name, group);
        this.place.append(group);
      }
    }
    for (const [name, group] of this.#groups) choose(group, Object.hasOwn(labels, name) ? labels[name] : []);
    this.arrange();
  }

  /** Says beside each label what is chosen of it. */
  arrange() {
    for (const group of this.#groups.values()) {
      const values = valuesOf(group);
      group.querySelector("summary .quiet").textContent = values.length === 0 ? "any" : visible(values.join(" or "));
    }
  }
}

function valuesOf(group) {
  const text = group.querySelector("[type=text]");
  if (text !== null) return text.value === "" ? [] : [text.value];
  return [...group.querySelectorAll("input:checked")].map((box) => box.value);
}

function choose(group, values) {
  const text = group.querySelector("[type=text]");
  if (text !== null) {
    text.value = values[0] ?? "";
    return;
  }
  const boxes = () => [...group.querySelectorAll("input")];
  const listed = new Set(boxes().map((box) => box.value));
  for (const value of values) if (!listed.has(value)) group.querySelector("[role=group]").append(makeChoice({ value }));
  for (const box of boxes()) box.checked = values.includes(box.value);
}

function makeGroup({ name, values }) {
  const title = visible(name);
  const summary = element("summary", {}, element("b", { textContent: title }), " ", element("span", { className: "quiet" }));
  const group = element("details", { className: "label" }, summary);
  if (values.length === 0) {
    group.append(element("label", { className: "exactly" }, "is exactly ", element("input", { type: "text" })));
    group.querySelector("input").setAttribute("aria-label", `${title} is exactly`);
  } else {
    const list = element("div", { className: "cameras" }, ...values.map(makeChoice));
    list.setAttribute("role", "group");
    list.setAttribute("aria-label", title);
    group.append(list);
  }
  return group;
}

function makeChoice({ value, pictures }) {
  const box = element("input", { type: "checkbox", value });
  const count = element("span", { className: "quiet" }, pictures === undefined ? "" : counted(pictures, "picture"));
  return element("label", {}, box, ` ${value === "" ? "empty" : visible(value)} `, count);
}
