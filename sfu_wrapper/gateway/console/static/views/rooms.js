// Rooms live: who is in them, since when, whether they are recorded, and why not.

import { RecordingState } from "../decisions.js";
import { href, useConsole, useLive } from "../context.js";
import { Component, html, useState } from "../html.js";
import { Badge, Busy, Empty, Time, Title } from "../parts.js";
import { hasRole } from "../session.js";
import { t } from "../text.js";
import { Room } from "./room.js";
import { Controls } from "./controls.js";

export const Rooms = ({ place }) => (place.parts[0] ? html`<${Room} key=${place.parts[0]} place=${place} />` : html`<${List} />`);

function List() {
  const { session } = useConsole();
  const live = useLive();
  const [wanted, setWanted] = useState("");
  const [recorded, setRecorded] = useState(false);
  const rooms = live.youngestFirst().filter((room) => (!recorded || room.recording.active) && matches(room, wanted));
  const manyDomains = hasRole(session, "service");
  return html`
    <${Title} extra=${html`<p class="hint" role="status">${t("rooms.count", { count: rooms.length })}</p>`}>${t("rooms.title")}<//>
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <div class="field"><label for="room-search">${t("rooms.search")}</label>
        <input id="room-search" type="search" value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></div>
      <label class="check"><input type="checkbox" checked=${recorded} onChange=${(event) => setRecorded(event.target.checked)} /> ${t("rooms.onlyRecorded")}</label>
    </form>
    ${!live.loaded && rooms.length === 0
      ? html`<${Busy} />`
      : rooms.length === 0
        ? html`<${Empty}>${live.rooms.size ? t("rooms.noMatch") : t("rooms.empty")}<//>`
        : html`
      <table class="cards rooms" aria-label=${t("rooms.title")}>
        <thead><tr>
          <th scope="col">${t("rooms.room")}</th><th scope="col">${t("rooms.owner")}</th><th scope="col">${t("rooms.participants")}</th>
          <th scope="col">${t("rooms.since")}</th><th scope="col">${t("rooms.recording")}</th><th scope="col">${t("rooms.actions")}</th>
        </tr></thead>
        <tbody>${rooms.map((room) => html`<${Row} key=${room.uuid} room=${room} domain=${manyDomains} />`)}</tbody>
      </table>`}`;
}

function matches(room, wanted) {
  const text = wanted.trim().toLowerCase();
  if (!text) return true;
  return [room.room, room.owner, room.domain ?? "", ...room.participants.map(({ user }) => user)].some((each) => each.toLowerCase().includes(text));
}

/** Since when the call goes on for those who are in it, ms; undefined without participants. */
export const since = (room) => (room.participants.length ? Math.min(...room.participants.map(({ joinedAt }) => Date.parse(joinedAt))) : undefined);

const SHOWN = 4; // names in a row of the list

/** A row is drawn again only when its room is another one: hundreds of them may be shown. */
class Row extends Component {
  shouldComponentUpdate(next) {
    return next.room !== this.props.room;
  }

  render({ room, domain }) {
    const names = room.participants.map(({ user }) => user);
    const more = names.length - SHOWN;
    return html`
      <tr>
        <td data-head=${t("rooms.room")}><a href=${href("rooms", [room.room], { domain: room.domain })}>${room.room}</a>
          <div class="hint">${t(`kind.${room.origin === "pstn" ? "pstn" : room.kind}`)}${domain ? `, ${room.domain}` : ""}</div></td>
        <td data-head=${t("rooms.owner")}>${room.owner}</td>
        <td data-head=${t("rooms.participants")}>${names.length ? html`<strong>${names.length}</strong> ${names.slice(0, SHOWN).join(", ")}${more > 0 ? ` ${t("rooms.others", { count: more })}` : ""}` : html`<${Badge}>${t("rooms.noParticipants")}<//>`}</td>
        <td data-head=${t("rooms.since")}><${Time} at=${since(room)} /></td>
        <td data-head=${t("rooms.recording")}><${RecordingState} recording=${room.recording} /></td>
        <td data-head=${t("rooms.actions")}><${Controls} room=${room} compact=${true} /></td>
      </tr>`;
  }
}
