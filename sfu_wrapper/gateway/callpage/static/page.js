// The elements of the page: which part is shown, what is written and said.

const STAGES = ["token", "lobby", "absent", "call", "over"];

/** @typedef {HTMLButtonElement & HTMLInputElement & HTMLVideoElement} Any */
export const $ = (/** @type {string} */ id) => /** @type {Any} */ (document.getElementById(id));

// What the server has told the page in <meta>.
/** @type {(name: string) => string} */
export const told = (name) => document.querySelector(`meta[name="${name}"]`).getAttribute("content");

export function stage(name) {
  for (const each of STAGES) $(`stage-${each}`).hidden = each !== name;
  $("controls").hidden = name !== "call";
  $(`${name}-title`).focus({ preventScroll: true });
}

export function notice(text = "") {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

export const speak = (text) => ($("spoken").textContent = text);

export function label(id, text, href, name = text) {
  const button = $(id);
  button.querySelector("span").textContent = text;
  button.querySelector("use").setAttribute("href", href);
  button.ariaLabel = name;
}

export function show(video, track) {
  if ((video.srcObject?.getTracks()[0] ?? null) === (track ?? null)) return;
  video.srcObject = track ? new MediaStream([track]) : null;
}
