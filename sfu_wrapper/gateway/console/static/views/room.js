// One room: its participants and segments on a time line, the decision, and what can be done.

import { RecordingState, sentence } from "../decisions.js";
import { segment as inPath } from "../api.js";
import { href, useClock, useConsole, useLive, useLoaded } from "../context.js";
import { html, useEffect, useRef } from "../html.js";
import { Badge, Busy, ErrorNotice, Progress, Table, Time, Title } from "../parts.js";
import { now } from "../session.js";
import { coded, duration, t } from "../text.js";
import { Timeline } from "../timeline.js";
import { Controls } from "./controls.js";

const STAYS = 20; // segments whose participants are read

export function Room({ place }) {
  const { api, session } = useConsole();
  const live = useLive();
  const [id] = place.parts;
  const domain = place.query.get("domain") ?? session.domain;
  const elsewhere = domain === session.domain ? {} : { domain };
  const stored = useLoaded((signal) => api.get(`/rooms/${inPath(id)}`, elsewhere, { signal }), [id, domain]);
  const current = live.find(id, domain);
  const seen = useRef(null);
  seen.current = current ?? seen.current;
  const gone = !current && seen.current; // it has ended while it was shown
  const room = current ?? (gone ? { ...gone, state: "ended", participants: [] } : stored.data);
  const segments = merged(stored.data?.segments ?? [], room?.segments ?? []);
  const decision = useLoaded((signal) => api.get(`/rooms/${inPath(id)}/decision`, elsewhere, { signal }), [id, domain, room?.state]);
  const stays = useStays(room, segments);
  const left = useLeft(room);
  if (!room) return html`<${Title}>${id}<//>${stored.error ? html`<${ErrorNotice} error=${stored.error} retry=${stored.reload} />` : html`<${Busy} />`}`;
  return html`
    <p><a href="#/rooms">${t("room.back")}</a></p>
    <${Title} extra=${html`<${Badge} kind=${room.state === "established" ? "good" : ""}>${t(`state.${room.state}`)}<//>`}>${room.room}<//>
    <section class="card" aria-label=${t("rooms.recording")}>
      <p><${RecordingState} recording=${room.recording} /></p>
      <${Controls} room=${room} />
      <dl class="facts">
        <dt>${t("rooms.owner")}</dt><dd>${room.owner}</dd>
        <dt>${t("room.kind")}</dt><dd>${t(`kind.${room.origin === "pstn" ? "pstn" : room.kind}`)}</dd>
        <dt>${t("room.domain")}</dt><dd>${room.domain ?? domain}</dd>
        ${decision.data && html`
          <dt>${t("room.now")}</dt><dd>${sentence(decision.data.now)}</dd>
          ${decision.data.established && html`<dt>${t("room.established")}</dt><dd>${sentence(decision.data.established)}</dd>`}`}
      </dl>
    </section>
    <section class="card" aria-labelledby="room-time">
      <h2 id="room-time">${t("room.timeline")}</h2>
      <${People} room=${room} segments=${segments} stays=${stays} left=${left} />
    </section>
    <section class="card" aria-labelledby="room-segments">
      <h2 id="room-segments">${t("room.segments")}</h2>
      <${Segments} room=${room} segments=${segments} live=${live} />
    </section>`;
}

/** Segments of two states of a room by number; the later ones count. */
function merged(before, after) {
  const found = new Map([...before, ...after].map((each) => [each.segment, each]));
  return [...found.values()].sort((a, b) => a.segment - b.segment);
}

/** Stays of participants during the recorded segments that this user may see. */
function useStays(room, segments) {
  const { api } = useConsole();
  const done = segments.filter(({ state }) => state === "stopped").slice(-STAYS);
  const loaded = useLoaded(async (signal) => {
    const read = done.map(({ segment }) => api.get(`/recordings/${inPath(room.uuid)}/${segment}`, {}, { signal }));
    const answers = await Promise.allSettled(read);
    return answers.flatMap((each) => (each.status === "fulfilled" ? each.value.participants ?? [] : []));
  }, [room?.uuid, done.map(({ segment }) => segment).join()]);
  return loaded.data ?? [];
}

/** Stays that ended while this view was open, which nothing else says of a room that goes on. */
function useLeft(room) {
  const seen = useRef({ present: new Map(), left: [] });
  useEffect(() => {
    if (!room) return;
    const present = new Map(room.participants.map(({ user, joinedAt }) => [user, joinedAt]));
    for (const [user, joinedAt] of seen.current.present) {
      if (present.get(user) !== joinedAt) seen.current.left.push({ user, from: Date.parse(joinedAt), to: now() });
    }
    seen.current.present = present;
  }, [room]);
  return seen.current.left;
}

function People({ room, segments, stays, left }) {
  const running = room.state !== "ended" && room.participants.length > 0;
  useClock(running);
  const present = now();
  const bars = new Map();
  const add = (user, bar) => bars.set(user, [...(bars.get(user) ?? []), bar]);
  for (const { user, stays: times } of stays) {
    for (const { joinedAt, leftAt } of times) add(user, { from: Date.parse(joinedAt), to: leftAt ? Date.parse(leftAt) : present });
  }
  for (const { user, from, to } of left) add(user, { from, to });
  for (const { user, joinedAt } of room.participants) add(user, { from: Date.parse(joinedAt), to: present });
  const parts = segments.filter(({ startedAt }) => startedAt).map((each) => ({
    from: Date.parse(each.startedAt),
    to: each.stoppedAt ? Date.parse(each.stoppedAt) : present,
    kind: each.state === "failed" ? "failed" : "recorded",
    label: t("room.segment", { number: each.segment }),
  }));
  const all = [...parts, ...[...bars.values()].flat()];
  if (all.length === 0) return html`<p class="hint">${t("room.nothingYet")}</p>`;
  const rows = [...bars].map(([user, times]) => ({ key: user, label: user, bars: times }));
  if (parts.length) rows.unshift({ key: "", label: t("room.recorded"), bars: parts });
  return html`<${Timeline} label=${t("room.timeline")} rows=${rows}
    from=${Math.min(...all.map(({ from }) => from))} to=${running ? present : Math.max(...all.map(({ to }) => to))} />`;
}

function Segments({ room, segments, live }) {
  const columns = [
    { key: "number", head: t("room.number") }, { key: "started", head: t("room.started") },
    { key: "length", head: t("room.length"), number: true }, { key: "by", head: t("room.by") }, { key: "state", head: t("room.state") },
  ];
  const rows = segments.map((each) => {
    const news = live.recordings.get(`${room.uuid}/${each.segment}`) ?? each;
    return {
      key: String(each.segment),
      cells: {
        number: each.startedAt ? html`<a href=${href("recordings", [room.uuid, each.segment])}>${t("room.segment", { number: each.segment })}</a>` : t("room.segment", { number: each.segment }),
        started: html`<${Time} at=${each.startedAt} />`,
        length: each.duration === undefined ? "–" : duration(each.duration),
        by: each.begunBy ?? each.by,
        state: html`${t(`segment.${each.state}`)}${each.reason ? `: ${coded("stopped", each.reason)}` : ""}
          ${each.missing?.length ? html` <${Badge} kind="warn">${t("room.missing", { media: each.missing.map((one) => coded("medium", one)).join(", ") })}<//>` : ""}
          <${Processing} processing=${news.processing} />`,
      },
    };
  });
  return html`<${Table} label=${t("room.segments")} columns=${columns} rows=${rows} empty=${t("room.noSegments")} />`;
}

function Processing({ processing }) {
  if (!processing) return null;
  if (processing.state !== "processing") return html` <${Badge} kind=${processing.state === "failed" ? "warn" : "good"}>${t(`processing.${processing.state}`)}<//>`;
  const label = t("processing.percent", { percent: Math.round(processing.percent ?? 0) });
  return html`<div><span class="hint">${label}${processing.etaSeconds === undefined ? "" : ` ${t("processing.left", { time: duration(processing.etaSeconds) })}`}</span>
    <${Progress} percent=${processing.percent} label=${label} /></div>`;
}
