/** What a search was, for a table and for paper: its query, settings, model, calibration and date beside its results. */

import { loadAll } from "./cards.js";
import { element } from "./elements.js";
import { describeLabels } from "./labels.js";
import { counted, plainTime, rateText, visible } from "./words.js";

const FORMULA = /^'*[=+\-@\t\r]/; // how a value begins that a spreadsheet takes for a formula, as in data/tables.py
const NUMBER = /^[+-]?[\d.]+([eE][+-]?\d+)?$/;
const MARK = "\ufeff"; // by which spreadsheets see that a file is UTF-8
const SAVING = 60_000; // milliseconds after which a browser has saved what it downloads
const FIELDS = ["rank", "id", "similarity", "probability", "pair_probability", "camera_id", "time", "track_id", "vehicle_id", "name"];

/** The part of the page that tells it, and its two buttons. */
export class Record {
  #results = [];
  #facts = [];
  #name = "";

  /**
   * @param {HTMLElement} answer has the list of results, both buttons, and the details that are told.
   */
  constructor(answer) {
    this.details = answer.querySelector("#record");
    answer.querySelector("#save").addEventListener("click", () => save(this.#table(), `${this.#name}-results.csv`));
    answer.querySelector("#print").addEventListener("click", async () => {
      await loadAll(answer.querySelector("#results"));
      print();
    });
    let open;
    addEventListener("beforeprint", () => {
      open = this.details.open;
      this.details.open = true;
    });
    addEventListener("afterprint", () => (this.details.open = open));
  }

  /** Tells what was asked with what outcome; `query` is as in query.js. */
  show(gallery, query, filter, answer, results) {
    this.#name = gallery.name;
    this.#results = results;
    this.#facts = [...queryFacts(query, answer), ...filterFacts(filter), ...answerFacts(gallery, answer)];
    const lines = this.#facts.map(([name, value]) =>
      element("div", {}, element("dt", { textContent: name.replaceAll("_", " ") }), element("dd", { textContent: visible(value) })),
    );
    this.details.querySelector("dl").replaceChildren(...lines);
  }

  /** The results as CSV: a row for each, with what holds for all of them behind it. */
  #table() {
    const labels = [...new Set(this.#results.flatMap((result) => Object.keys(result.labels)))].sort();
    const names = [...FIELDS, ...labels.map((label) => `label:${label}`), "judgement", ...this.#facts.map(([name]) => name)];
    const rows = this.#results.map((result) => [
      ...FIELDS.map((field) => result[field] ?? ""),
      ...labels.map((label) => result.labels[label] ?? ""),
      { true: "same", false: "different", null: "" }[result.judgement],
      ...this.#facts.map(([, value]) => value),
    ]);
    return MARK + [names, ...rows].map((row) => row.map(csvValue).join(",") + "\r\n").join("");
  }
}

function queryFacts(query, { query: { content } }) {
  if (query.uploads === undefined) return [["query", `picture ${query.id}`], ["query_content", content]];
  const searched = query.together ? query.uploads : [query.uploads[query.at]];
  const parts = searched.map(({ crop }) => (crop === null ? "whole" : crop.map((share) => share.toFixed(3)).join(" ")));
  return [
    ["query", searched.map(({ name }) => name).join("; ")],
    ["query_part", parts.join("; ")],
    ["query_content", content],
  ];
}

function filterFacts({ mode, cameras, after, before, labels, top }) {
  const which = { all: "all", only: `only ${cameras.join(", ")}`, except: `all but ${cameras.join(", ")}` }[mode];
  return [
    ["cameras", which],
    ["from", after === "" ? "any time" : `${after} UTC`],
    ["before", before === "" ? "any time" : `${before} UTC`],
    ["labels", describeLabels(labels).join(", ") || "any"],
    ["at_most", `${top} results`],
  ];
}

function answerFacts(gallery, { verdict, when }) {
  const { calibration, index } = gallery;
  const recall = index.recall === null ? "" : `, which finds ${rateText(index.recall)} of the nearest`;
  const facts = [
    ["searched", `${plainTime(when)} UTC`],
    ["gallery", `${gallery.name}, ${counted(gallery.pictures, "picture")}`],
    ["index", index.kind + recall],
    ["model", gallery.model],
    ["samecar", gallery.version],
  ];
  if (calibration === null) return [...facts, ["calibration", "none"]];
  const { data, digest, vehicles } = calibration;
  return [
    ...facts,
    ["calibration", `${counted(vehicles, "vehicle")} of ${data}, ${digest}`],
    ["in_gallery", String(verdict.in_gallery)],
    ["gallery_probability", numberText(verdict.probability)],
    ["prior", numberText(verdict.prior?.in_gallery)],
    ["prior_vehicles", verdict.prior ? `${numberText(verdict.prior.vehicles)} by ${verdict.prior.source}` : ""],
    ["threshold", numberText(verdict.threshold)],
    ["false_alarm_rate", numberText(verdict.false_alarm_rate)],
  ];
}

function numberText(number) {
  return number == null ? "" : String(Number(number.toPrecision(6)));
}

/** A value as it stands in a CSV file, in which spreadsheets execute nothing. */
function csvValue(value) {
  const text = String(value);
  const safe = FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Has the browser save a file. */
export function save(content, name) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type: "text/csv" }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), SAVING);
}
