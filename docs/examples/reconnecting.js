// A microphone switch that works over lost connections: docs/how-to/reconnecting.md explains it.

import { Client } from "./client.js";

const parameters = new URLSearchParams(location.search);
const room = parameters.get("room");
const token = location.hash.replace("#token=", "");
const client = new Client(parameters.get("url"), async () => token, room);

const connection = document.querySelector("#connection");
const people = document.querySelector("#people");
const microphone = /** @type {HTMLInputElement} */ (document.querySelector("#microphone"));

/** Everything on the page comes from getRoom, so that a missed event is never missed for long. */
function draw({ participants }) {
  const words = participants.map(({ user, media }) => (media.audio ? `${user} (audio)` : user));
  people.textContent = words.join(", ");
}

client.addEventListener("state", (/** @type {any} */ { detail }) => {
  connection.textContent = "connected";
  draw(detail);
});
client.addEventListener("event", async () => draw(await client.request("getRoom", { room })));
client.addEventListener("lost", () => (connection.textContent = "connecting again"));
client.addEventListener("refused", (/** @type {any} */ { detail }) => (connection.textContent = detail.message));
microphone.addEventListener("change", () =>
  // Sent again after a lost connection, with the same id: carried out once.
  client.request("updateMedia", { room, media: { audio: microphone.checked } }),
);
