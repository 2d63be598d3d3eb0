// Decisions of the recording policy in words.

import { html } from "./html.js";
import { Badge } from "./parts.js";
import { coded, duration, t, time } from "./text.js";
import { useClock } from "./context.js";
import { now } from "./session.js";

/** Who decided: "the permission of the user", … */
export const source = (decided) => (decided.source ? coded("source", decided.source) : t("source.none"));

/** A decision as one sentence: whether it records by itself, else why not; and who decided. */
export const sentence = (decided) => (decided.automatic
  ? t("decision.automatic", { what: coded("type", decided.type), source: source(decided) })
  : t(decided.allowed ? "decision.byHand" : "decision.not", { why: coded("reason", decided.reason), source: source(decided) }));

/** Time since an ISO time, or until one, that runs. */
export function Clock({ since, until }) {
  useClock();
  const ms = until ? Date.parse(until) - now() : now() - Date.parse(since);
  return html`<span class="clock">${duration(ms / 1000)}</span>`;
}

/** Whether a room is recorded now, since when, by whom; else why not. */
export function RecordingState({ recording }) {
  if (recording.active) {
    return html`
      <${Badge} kind="recording"><span aria-hidden="true">● </span>${t("recordingState.active")} <${Clock} since=${recording.startedAt} /><//>
      <span class="hint">${t(`what.${recording.type}`)}${recording.begunBy ? ` ${t("recordingState.by", { user: recording.begunBy })}` : ""}</span>
      ${recording.unattended && html` <${Badge} kind="warn">${t("recordingState.unattended")}<//>`}`;
  }
  if (recording.resumesAt) {
    return html`<${Badge} kind="warn">${t("recordingState.paused")} <${Clock} until=${recording.resumesAt} /><//>
      <span class="hint">${t("recordingState.resumes", { at: time(recording.resumesAt) })}</span>`;
  }
  return html`<span class="hint">${recording.automatic
    ? t("recordingState.waits")
    : recording.reason ? coded("reason", recording.reason) : t("recordingState.stopped")}</span>`;
}
