// A record button: docs/how-to/record-button.md explains it.

import { Client, RequestError } from "./client.js";

const parameters = new URLSearchParams(location.search);
const room = parameters.get("room");
// The token comes in the fragment, which no browser sends to a server.
const token = location.hash.replace("#token=", "");
const client = new Client(parameters.get("url"), async () => token, room);

const sign = document.querySelector("#sign");
const button = /** @type {HTMLButtonElement} */ (document.querySelector("#record"));
const note = document.querySelector("#note");
let state = null; // the answer of getRoom
let busy = false;

/** What the button says, and whether it can be pressed. */
function look() {
  const { recording, owner } = state;
  if (owner !== client.user) return { text: "Record", why: `only ${owner} may record` };
  if (recording.active) return { text: "Stop recording", why: "" };
  if (state.state !== "established") return { text: "Record", why: "the call has not begun" };
  if (!recording.allowed) return { text: "Record", why: `not permitted (${recording.reason})` };
  return { text: "Record", why: "" };
}

function draw(problem = "") {
  const { text, why } = look();
  button.textContent = text;
  button.disabled = busy || why !== "";
  sign.textContent = state.recording.active ? `recorded since ${state.recording.startedAt}` : "not recorded";
  note.textContent = problem || why;
}

async function refresh() {
  state = await client.request("getRoom", { room });
  draw();
}

async function press() {
  const endpoint = state.recording.active ? "stopRoomRecording" : "startRoomRecording";
  let problem = "";
  busy = true;
  draw();
  try {
    await client.request(endpoint, { room });
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    // These two only say that another client was faster: the state says the rest.
    if (!["ALREADY_RECORDING", "NOT_RECORDING"].includes(error.code)) problem = error.message;
  }
  busy = false;
  await refresh();
  if (problem) draw(problem);
}

button.addEventListener("click", press);
client.addEventListener("state", (/** @type {any} */ { detail }) => {
  state = detail;
  draw();
});
client.addEventListener("event", refresh);
client.addEventListener("lost", () => {
  button.disabled = true;
  note.textContent = "the connection is lost; it comes back by itself";
});
client.addEventListener("refused", (/** @type {any} */ { detail }) => {
  note.textContent = detail.message;
});
