// Start, pause, stop and end of a room, each with the reason where it is not possible.

import { useConsole } from "../context.js";
import { html, useState } from "../html.js";
import { Action, Dialog } from "../parts.js";
import { refusedEnd, refusedStart, refusedStop } from "../policy.js";
import { coded, t } from "../text.js";

const PAUSES_MIN = [1, 3, 5, 15];

/** Reason in words, with the room's own reason where the permission does not allow it. */
function words(code, room) {
  if (!code) return null;
  const why = code === "NOT_PERMITTED" && room.recording.reason;
  return why ? `${coded("error", code)} ${coded("reason", why)}` : coded("error", code);
}

/** @param {{room: any, compact?: boolean}} given compact: only what is possible */
export function Controls({ room, compact = false }) {
  const { session, live, say } = useConsole();
  const [asked, setAsked] = useState("");
  const target = { room: room.room, ...(room.domain && room.domain !== session.domain ? { domain: room.domain } : {}) };
  const start = refusedStart(session, room);
  const stop = refusedStop(session, room);
  const end = refusedEnd(session, room);
  const name = { room: room.room };
  const tell = async (endpoint, payload, text) => {
    await live.ask(endpoint, { ...target, ...payload });
    say(t(text, name));
  };
  const shown = (code) => !compact || code === null;
  return html`
    <div class="buttons">
      ${room.recording.active || room.recording.resumesAt
        ? html`
          ${shown(stop) && html`<${Action} key="stop" why=${words(stop, room)} label=${t("controls.stopRoom", name)}
            act=${() => tell("stopRoomRecording", {}, "controls.stopped")}>${t("controls.stop")}<//>`}
          ${shown(stop) && html`<${Action} key="pause" why=${words(stop, room)} label=${t("controls.pauseRoom", name)}
            act=${async () => setAsked("pause")}>${t("controls.pause")}<//>`}`
        : shown(start) && html`<${Action} key="start" why=${words(start, room)} label=${t("controls.startRoom", name)}
            act=${() => tell("startRoomRecording", {}, "controls.started")}>${t("controls.start")}<//>`}
      ${shown(end) && html`<${Action} key="end" why=${words(end, room)} label=${t("controls.endRoom", name)}
        act=${async () => setAsked("end")}>${t("controls.end")}<//>`}
      ${asked === "pause" && html`
        <${Dialog} title=${t("controls.pauseRoom", name)} confirm=${t("controls.pause")} close=${() => setAsked("")}
          act=${(data) => tell("stopRoomRecording", { resumeAfterSeconds: Number(data.get("minutes")) * 60 }, "controls.paused")}>
          <label for="minutes">${t("controls.resumeAfter")}</label>
          <select id="minutes" name="minutes">${PAUSES_MIN.map((count) => html`<option key=${count} value=${count}>${t("controls.minutes", { count })}</option>`)}</select>
        <//>`}
      ${asked === "end" && html`
        <${Dialog} title=${t("controls.endRoom", name)} confirm=${t("controls.end")} danger=${true} close=${() => setAsked("")}
          act=${() => tell("endRoom", {}, "controls.ended")}>
          <p>${t("controls.endHint", { count: room.participants.length })}</p>
        <//>`}
    </div>`;
}
