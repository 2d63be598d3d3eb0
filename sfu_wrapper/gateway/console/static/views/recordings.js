// Recordings: search, the list with its progress live, and the way to one of them.

import { segment } from "../api.js";
import { href, useConsole } from "../context.js";
import { Choice, Field } from "../fields.js";
import { html, useEffect, useRef } from "../html.js";
import { address } from "../live.js";
import { Badge, Busy, ErrorNotice, More, Progress, Table, Time, Title } from "../parts.js";
import { usePages } from "../pages.js";
import { hasRole } from "../session.js";
import { bytes, duration, t } from "../text.js";
import { Recording } from "./recording.js";

const FILTERS = ["room", "owner", "participant", "state", "from", "to"];
const STATES = ["", "recording", "queued", "processing", "ready", "failed", "deleted"];
const TOGETHER_MS = 500; // changes that come within this time are read together
const AT_ONCE = 10; // recordings that are read again at a time

export const Recordings = ({ place }) => (place.parts.length === 2
  ? html`<${Recording} key=${place.parts.join("/")} uuid=${place.parts[0]} number=${place.parts[1]} />`
  : html`<${List} query=${place.query} />`);

function List({ query }) {
  const { api, session } = useConsole();
  const chosen = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const pages = usePages(async (after, signal) => {
    const times = { from: instant(chosen.from), to: instant(chosen.to) };
    const page = await api.get("/recordings", { ...chosen, ...times, after, limit: 50 }, { signal });
    return { items: page.recordings, next: page.next };
  }, [query.toString()]);
  useNews(pages, !query.toString());
  const search = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    location.hash = href("recordings", [], Object.fromEntries(FILTERS.map((name) => [name, String(given.get(name) ?? "").trim()])));
  };
  const columns = [
    { key: "started", head: t("recordings.started") }, { key: "room", head: t("rooms.room") }, { key: "owner", head: t("rooms.owner") },
    { key: "length", head: t("room.length"), number: true }, { key: "state", head: t("room.state") }, { key: "bytes", head: t("recordings.size"), number: true },
  ];
  const rows = pages.items.map((each) => ({
    key: each.recording,
    cells: {
      started: each.view === "attended" ? html`<${Time} at=${each.startedAt} />` : html`<a href=${href("recordings", [each.uuid, each.segment])}><${Time} at=${each.startedAt} /></a>`,
      room: html`${each.room} <span class="hint">${t("room.segment", { number: each.segment })}</span>`,
      owner: hasRole(session, "service") ? `${each.domain}/${each.owner}` : each.owner,
      length: each.duration === undefined ? "–" : duration(each.duration),
      state: html`<${State} recording=${each} />`,
      bytes: each.bytes ? bytes(each.bytes) : "–",
    },
  }));
  return html`
    <${Title} extra=${html`<button type="button" onClick=${pages.reload}>${t("reload")}</button>`}>${t("recordings.title")}<//>
    <form class="filters" role="search" onSubmit=${search} key=${query.toString()}>
      <${Field} id="room" label=${t("rooms.room")} value=${chosen.room} />
      <${Field} id="owner" label=${t("rooms.owner")} value=${chosen.owner} />
      <${Field} id="participant" label=${t("recordings.participant")} value=${chosen.participant} placeholder="me" />
      <${Choice} id="state" label=${t("room.state")} value=${chosen.state} options=${Object.fromEntries(STATES.map((state) => [state, state ? t(`recordingState.${state}`) : t("recordings.anyState")]))} />
      <${Field} id="from" label=${t("recordings.from")} type="datetime-local" value=${chosen.from} />
      <${Field} id="to" label=${t("recordings.to")} type="datetime-local" value=${chosen.to} />
      <button type="submit" class="primary">${t("recordings.search")}</button>
      ${query.toString() && html`<a class="button" href="#/recordings">${t("recordings.all")}</a>`}
    </form>
    <p><a href=${href("recordings", [], { participant: "me" })}>${t("recordings.mine")}</a></p>
    <${ErrorNotice} error=${pages.error} retry=${pages.reload} />
    ${pages.loaded ? html`<${Table} label=${t("recordings.title")} columns=${columns} rows=${rows} empty=${t("recordings.none")} />` : !pages.error && html`<${Busy} />`}
    <${More} pages=${pages} />`;
}

/** A local time of an input as one with its zone; undefined without one. */
const instant = (local) => (local ? new Date(local).toISOString() : undefined);

/** State of a recording with its progress, hold and deletion. */
export function State({ recording }) {
  const { state, progress, hold, deletion, view } = recording;
  const kind = { recording: "recording", ready: "good", failed: "warn" }[state] ?? "";
  return html`
    <${Badge} kind=${kind}>${t(`recordingState.${state}`)}<//>
    ${view === "attended" && html`<span class="hint">${t("recordings.attended", { time: duration(recording.seconds) })}</span>`}
    ${hold && html`<${Badge} kind="warn">${t("recordings.held")}<//>`}
    ${deletion && state !== "deleted" && html`<${Badge} kind="warn">${t("recordings.deleting")}<//>`}
    ${state === "processing" && progress && html`<${ProgressOf} progress=${progress} />`}`;
}

/** Percent and time left of the processing. */
export function ProgressOf({ progress }) {
  const label = t("processing.percent", { percent: Math.round(progress.percent) });
  const left = progress.etaSeconds === undefined ? "" : ` ${t("processing.left", { time: duration(progress.etaSeconds) })}`;
  return html`<div><span class="hint">${label}${left}</span><${Progress} percent=${progress.percent} label=${label} /></div>`;
}

/** What a change that `watch` reports says of progress; null where the recording is to be read. */
export function progressed(before, change) {
  const news = change.processing;
  if (news?.state !== "processing" || news.percent === undefined || !["queued", "processing"].includes(before.state)) return null;
  return { ...before, state: "processing", progress: { stage: news.stage, percent: news.percent, etaSeconds: news.etaSeconds } };
}

/** Keep the list as the server sees it: progress from events, everything else read again. */
function useNews(pages, unfiltered) {
  const { api, live } = useConsole();
  const latest = useRef(pages);
  latest.current = pages;
  useEffect(() => {
    const changed = new Set();
    let timer = 0;
    const read = async () => {
      timer = 0;
      const some = [...changed].slice(0, AT_ONCE);
      some.forEach((each) => changed.delete(each));
      const found = await Promise.allSettled(some.map((each) => api.get(`/recordings/${each}`)));
      const fresh = new Map(found.flatMap((each) => (each.status === "fulfilled" ? [[each.value.recording, each.value]] : [])));
      latest.current.update((items) => {
        const known = new Set(items.map(({ recording }) => recording));
        const added = unfiltered ? [...fresh.values()].filter(({ recording }) => !known.has(recording)) : [];
        const kept = items.map((item) => fresh.get(item.recording) ?? item);
        return [...added, ...kept].sort((a, b) => (a.startedAt < b.startedAt ? 1 : a.startedAt > b.startedAt ? -1 : 0));
      });
      if (changed.size && !timer) timer = setTimeout(read, TOGETHER_MS);
    };
    const stop = live.onEvent((event, change) => {
      if (event === "resumed") latest.current.reload();
      if (event !== "recordingChanged") return;
      const key = address(change);
      const before = latest.current.items.find(({ recording }) => recording === key);
      const after = before && progressed(before, change);
      if (after) {
        latest.current.update((items) => items.map((item) => (item.recording === key ? after : item)));
      } else if (before || (unfiltered && change.startedAt)) {
        changed.add(`${segment(change.uuid)}/${change.segment}`);
        timer ||= setTimeout(read, TOGETHER_MS);
      }
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [live, unfiltered]);
}

