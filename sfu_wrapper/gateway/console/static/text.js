// The texts of the console, in the first language of the user that there is a catalogue for. A
// catalogue maps keys to texts with {values}, or to {one, other, …} by the plural rules of `count`.

const CATALOGUES = { en: () => import("./texts/en.js") };

let texts = {};
let language = "en";

/** Load the catalogue; once, before anything is shown. */
export async function loadTexts(wanted = navigator.languages) {
  language = wanted.map((each) => each.split("-")[0]).find((each) => each in CATALOGUES) ?? "en";
  texts = (await CATALOGUES[language]()).default;
  document.documentElement.lang = language;
}

/**
 * Return a text.
 * @param {string} key
 * @param {Record<string, string | number>} values
 */
export function t(key, values = {}) {
  let found = texts[key];
  if (found && typeof found === "object") {
    found = found[new Intl.PluralRules(language).select(Number(values.count))] ?? found.other;
  }
  if (found === undefined) throw new Error(`no text ${key}`);
  return found.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Return the text of a code of the server, or the code itself where it is a newer one. */
export const coded = (/** @type {string} */ group, /** @type {string} */ code, values = {}) =>
  `${group}.${code}` in texts ? t(`${group}.${code}`, values) : code;

const two = (number) => String(number).padStart(2, "0");

/** "1:02:03" of seconds. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds ?? 0));
  const hours = Math.floor(whole / 3600);
  return `${hours ? `${hours}:` : ""}${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

export const number = (value, options = {}) => new Intl.NumberFormat(language, options).format(value);

export function bytes(value) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const power = Math.min(units.length - 1, value > 0 ? Math.floor(Math.log10(value) / 3) : 0);
  return number(value / 1000 ** power, { style: "unit", unit: units[power], unitDisplay: "short", maximumFractionDigits: 1 });
}

const same = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

/** Time of day of an ISO time or of ms, with the date unless it is today. */
export function time(at) {
  /** @type {Intl.DateTimeFormatOptions} */
  const options = same(at, Date.now()) ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(language, options).format(new Date(at));
}
