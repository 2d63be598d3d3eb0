// One recording: how it was made, its player and files, its participants, and what can be done.

import { segment as inPath } from "../api.js";
import { sentence } from "../decisions.js";
import { href, useConsole, useLoaded } from "../context.js";
import { administers } from "../fields.js";
import { html, useEffect, useState } from "../html.js";
import { address } from "../live.js";
import { Action, Badge, Busy, Dialog, ErrorNotice, Table, Time, Title } from "../parts.js";
import { hasRole, meta } from "../session.js";
import { bytes, coded, duration, number as decimal, t } from "../text.js";
import { Player } from "./player.js";
import { progressed, ProgressOf, State } from "./recordings.js";

const LINK_S = 3600; // a player asks for its file as long as it is open

export function Recording({ uuid, number }) {
  const { api, live } = useConsole();
  const path = `/recordings/${inPath(uuid)}/${number}`;
  const loaded = useLoaded((signal) => api.get(path, {}, { signal }), [path]);
  const shown = loaded.data;
  useEffect(() => live.onEvent((event, change) => {
    if (event === "resumed") loaded.reload();
    if (event !== "recordingChanged" || address(change) !== `${uuid}/${number}`) return;
    const after = shown && progressed(shown, change);
    if (after) loaded.set(after);
    else loaded.reload();
  }), [live, shown]);
  if (!shown) return html`<${Title}>${t("recordings.one")}<//>${loaded.error ? html`<${ErrorNotice} error=${loaded.error} retry=${loaded.reload} />` : html`<${Busy} />`}`;
  return html`
    <p><a href="#/recordings">${t("recordings.back")}</a></p>
    <${Title} extra=${html`<span><${State} recording=${shown} /> <button type="button" onClick=${loaded.reload}>${t("reload")}</button></span>`}>${t("recordings.heading", { room: shown.room, number: shown.segment })}<//>
    ${shown.state === "processing" && shown.progress && html`<section class="card"><${ProgressOf} progress=${shown.progress} /></section>`}
    ${shown.error && html`<p class="notice" role="alert">${t("recordings.failedAt", { stage: coded("stage", shown.error.stage), code: shown.error.code })} ${shown.error.message}</p>`}
    ${shown.deletion && html`<p class="notice" role="status">${t(shown.state === "deleted" ? "recordings.wasDeleted" : "recordings.beingDeleted", { why: coded("deletion", shown.deletion.reason) })}
      ${" "}<${Time} at=${shown.deletion.doneAt ?? shown.deletion.requestedAt} />${shown.deletion.trouble && ` ${shown.deletion.trouble}`}</p>`}
    <${Player} recording=${shown} link=${(name) => link(api, path, name)} />
    <${Actions} recording=${shown} path=${path} reload=${loaded.reload} />
    <${Facts} recording=${shown} />
    <${Files} recording=${shown} path=${path} />
    <${Sync} recording=${shown} />
    <${Log} path=${path} />`;
}

/** Return an address of a file for this page, from where it was served, and not from elsewhere. */
async function link(api, path, name) {
  const { url } = await api.post(`${path}/links`, { name, seconds: LINK_S });
  const { pathname, search } = new URL(url);
  return `${pathname.slice(pathname.lastIndexOf("/links/") + 1)}${search}`;
}

/** Let the browser save an address under a name. */
function save(url, name) {
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
}

function Actions({ recording, path, reload }) {
  const { api, say, session } = useConsole();
  const [asked, setAsked] = useState("");
  const admin = administers(session, recording.domain);
  const owner = recording.owner === session.user && recording.domain === session.domain;
  const gone = recording.state === "deleted" || recording.deletion ? t("error.RECORDING_DELETED") : null;
  const mayDelete = admin || (owner && meta("owner-may-delete") === "true");
  const undeletable = gone
    ?? (mayDelete ? null : t("error.FORBIDDEN"))
    ?? (recording.state === "recording" ? t("error.RECORDING_RUNNING") : null)
    ?? (recording.hold ? t("error.RECORDING_HELD") : null);
  const change = async (call, text) => {
    await call();
    say(t(text));
    reload();
  };
  const evidence = async () => {
    const response = await api.fetch("GET", `${path}/vcon`);
    const url = URL.createObjectURL(await response.blob());
    save(url, `${recording.uuid}-${recording.segment}.vcon.json`);
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  };
  return html`
    <div class="buttons">
      ${recording.hold
        ? html`<${Action} key="release" why=${admin ? null : t("permissions.readOnly")} act=${() => change(() => api.delete(`${path}/hold`), "recordings.released")}>${t("recordings.release")}<//>`
        : html`<${Action} key="hold" why=${gone ?? (admin ? null : t("permissions.readOnly"))} act=${async () => setAsked("hold")}>${t("recordings.hold")}<//>`}
      ${recording.state === "failed" && html`<${Action} key="retry" why=${gone ?? (admin || hasRole(session, "service") ? null : t("permissions.readOnly"))}
        act=${() => change(() => api.post(`${path}/retry`), "recordings.retried")}>${t("recordings.retry")}<//>`}
      <${Action} key="evidence" act=${evidence}>${t("recordings.evidence")}<//>
      <${Action} key="delete" kind="danger" why=${undeletable}
        act=${async () => setAsked("delete")}>${t("recordings.delete")}<//>
    </div>
    ${asked === "hold" && html`
      <${Dialog} title=${t("recordings.hold")} confirm=${t("recordings.hold")} close=${() => setAsked("")}
        act=${(data) => change(() => api.put(`${path}/hold`, { reason: String(data.get("reason")) }), "recordings.nowHeld")}>
        <p>${t("recordings.holdHint")}</p>
        <label for="reason">${t("recordings.reason")}</label><input id="reason" name="reason" required maxlength="1000" />
      <//>`}
    ${asked === "delete" && html`
      <${Dialog} title=${t("recordings.deleteThis")} confirm=${t("recordings.delete")} danger=${true} close=${() => setAsked("")}
        act=${() => change(() => api.delete(path), "recordings.deletionRequested")}>
        <p>${t("recordings.deleteHint", { room: recording.room, number: recording.segment })}</p>
        <ul>${recording.files.map(({ name, bytes: size }) => html`<li key=${name}>${name} (${bytes(size)})</li>`)}</ul>
      <//>`}`;
}

function Facts({ recording }) {
  const fact = (name, value) => value !== undefined && value !== null && value !== "" && html`<dt key=${`${name} name`}>${name}</dt><dd key=${name}>${value}</dd>`;
  return html`
    <section class="card" aria-labelledby="facts">
      <h2 id="facts">${t("recordings.facts")}</h2>
      <dl class="facts">
        ${fact(t("rooms.room"), html`<a href=${href("rooms", [recording.room], { domain: recording.domain })}>${recording.room}</a>`)}
        ${fact(t("rooms.owner"), recording.owner)}
        ${fact(t("room.domain"), recording.domain)}
        ${fact(t("room.kind"), t(`kind.${recording.origin === "pstn" ? "pstn" : recording.kind}`))}
        ${fact(t("recordings.media"), coded("type", recording.type))}
        ${fact(t("room.by"), recording.by)}
        ${fact(t("recordings.started"), html`<${Time} at=${recording.startedAt} />`)}
        ${recording.stoppedAt && fact(t("recordings.stopped"), html`<${Time} at=${recording.stoppedAt} /> (${coded("stopped", recording.reason)})`)}
        ${recording.duration !== undefined && fact(t("room.length"), duration(recording.duration))}
        ${recording.decision && fact(t("recordings.decision"), sentence(recording.decision))}
        ${recording.hold && fact(t("recordings.held"), t("recordings.heldBy", { by: recording.hold.by, reason: recording.hold.reason }))}
        ${fact(t("recordings.expires"), recording.expiresAt ? html`<${Time} at=${recording.expiresAt} />` : t("recordings.keptForEver"))}
        ${recording.missing.length > 0 && fact(t("recordings.missing"), recording.missing.map((one) => coded("medium", one)).join(", "))}
        ${recording.incomplete && fact(t("recordings.incomplete"), recording.incomplete)}
        ${recording.warnings.length > 0 && fact(t("recordings.warnings"), html`<ul>${recording.warnings.map((one, index) => html`<li key=${index}>${one}</li>`)}</ul>`)}
      </dl>
    </section>`;
}

function Files({ recording, path }) {
  const { api } = useConsole();
  const columns = [
    { key: "name", head: t("recordings.file") }, { key: "kind", head: t("recordings.kind") },
    { key: "bytes", head: t("recordings.size"), number: true }, { key: "actions", head: t("rooms.actions") },
  ];
  const gone = recording.state === "deleted" || recording.deletion ? t("error.RECORDING_DELETED") : null;
  const rows = recording.files.map((file) => ({
    key: file.name,
    cells: {
      name: html`<code>${file.name}</code>`,
      kind: html`${coded("file", file.kind)} ${file.encrypted && html`<${Badge}>${t("recordings.encrypted")}<//>`}`,
      bytes: bytes(file.bytes),
      actions: html`<${Action} why=${gone} label=${t("recordings.downloadFile", { name: file.name })}
        act=${async () => save(await link(api, path, file.name), file.name)}>${t("recordings.download")}<//>`,
    },
  }));
  return html`
    <section class="card" aria-labelledby="files">
      <h2 id="files">${t("recordings.files")}</h2>
      <${Table} label=${t("recordings.files")} columns=${columns} rows=${rows} empty=${t("recordings.noFiles")} />
    </section>`;
}

function Sync({ recording }) {
  if (!recording.sync?.length && !recording.unusable?.length) return null;
  const columns = [
    { key: "who", head: t("sync.track") }, { key: "start", head: t("sync.start"), number: true }, { key: "length", head: t("room.length"), number: true },
    { key: "offset", head: t("sync.offset"), number: true }, { key: "drift", head: t("sync.drift"), number: true },
    { key: "lost", head: t("sync.lost"), number: true }, { key: "gaps", head: t("sync.gaps"), number: true },
  ];
  const rows = (recording.sync ?? []).map((each, index) => ({
    key: String(index),
    cells: {
      who: `${each.userID ?? t("sync.mix")} ${each.userID ? coded("stream", each.stream) : ""}`,
      start: t("sync.ms", { ms: decimal(each.startMs) }),
      length: duration(each.lengthMs / 1000),
      offset: t("sync.ms", { ms: decimal(each.offsetMs) }),
      drift: each.driftPpm === null ? "–" : t("sync.ppm", { ppm: decimal(each.driftPpm) }),
      lost: t("sync.percent", { percent: decimal(each.lossPercent, { maximumFractionDigits: 2 }) }),
      gaps: each.gaps,
    },
  }));
  return html`
    <section class="card" aria-labelledby="sync">
      <h2 id="sync">${t("sync.title")}</h2>
      <p class="hint">${t("sync.hint")}</p>
      <${Table} label=${t("sync.title")} columns=${columns} rows=${rows} empty=${t("sync.none")} />
      ${recording.unusable?.length > 0 && html`<ul>${recording.unusable.map((each) => html`<li key=${each.filename}>${t("sync.unusable", { name: each.filename, why: each.reason })}</li>`)}</ul>`}
    </section>`;
}

/** The log of the processing, read when it is asked for. */
function Log({ path }) {
  const { api } = useConsole();
  const [text, setText] = useState("");
  return html`
    <section class="card" aria-labelledby="log">
      <h2 id="log">${t("recordings.log")}</h2>
      <div class="buttons"><${Action} act=${async () => setText((await api.get(`${path}/log`)) || t("recordings.emptyLog"))}>${t("show")}<//></div>
      ${text && html`<pre tabindex="0" aria-labelledby="log">${text}</pre>`}
    </section>`;
}
