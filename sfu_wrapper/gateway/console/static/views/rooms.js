// Rooms live: who is in them, since when, whether they are recorded and why not.

import { useLive } from "../context.js";
import { html } from "../html.js";
import { Busy, Empty, Title } from "../parts.js";
import { t } from "../text.js";

export function Rooms() {
  const live = useLive();
  const rooms = [...live.rooms.values()];
  return html`
    <${Title}>${t("rooms.title")}<//>
    ${!live.loaded && rooms.length === 0 ? html`<${Busy} />` : rooms.length === 0 && html`<${Empty}>${t("rooms.empty")}<//>`}
    <ul>${rooms.map((room) => html`<li key=${room.uuid}>${JSON.stringify(room)}</li>`)}</ul>`;
}
