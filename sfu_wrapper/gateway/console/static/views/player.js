// The player of a merged recording: its video, its chapters, and a bar for each participant.

import { html, useEffect, useRef, useState } from "../html.js";
import { duration, t } from "../text.js";
import { useLoaded } from "../context.js";
import { Busy, ErrorNotice } from "../parts.js";
import { Timeline } from "../timeline.js";

const SOON_S = 0.5; // who comes or goes within this time is one chapter

/** The file that shows the whole recording, and its poster; undefined where there is none to show. */
const playable = ({ files }) => files.find(({ kind, encrypted }) => ["merged", "audio"].includes(kind) && !encrypted);
const poster = ({ files }) => files.find(({ kind, encrypted }) => kind === "poster" && !encrypted);

/**
 * The file is read once it is played: each read of a recording is in the audit log. The poster is a
 * read of its own.
 * @param {{recording: any, link: (name: string) => Promise<string>}} given
 */
export function Player({ recording, link }) {
  const file = recording.state === "ready" && !recording.deletion ? playable(recording) : undefined;
  const [at, setAt] = useState(0);
  const [wanted, setWanted] = useState(null); // {at: seconds} to begin with; null: not played yet
  const still = useLoaded(async () => {
    const picture = file && poster(recording);
    return picture ? link(picture.name) : null;
  }, [file?.sha256]);
  const from = Date.parse(recording.startedAt);
  const to = recording.stoppedAt ? Date.parse(recording.stoppedAt) : from + 1000;
  const chapters = chaptersOf(recording.participants ?? [], from, to);
  return html`
    <section class="card" aria-labelledby="player">
      <h2 id="player">${t("player.title")}</h2>
      ${!file ? html`<p class="hint">${t(recording.files.some(({ encrypted }) => encrypted) ? "player.encrypted" : "player.none")}</p>`
        : wanted ? html`<${Media} file=${file} link=${link} wanted=${wanted} onTime=${setAt} />`
          : html`<div class="still">
              ${still.data && html`<img src=${still.data} alt=${t("player.poster")} />`}
              <button type="button" class="primary" onClick=${() => setWanted({ at: 0 })}>${t("player.play")}</button>
            </div>`}
      <ol class="chapters" aria-label=${t("player.chapters")}>${chapters.map((chapter) => html`
        <li key=${chapter.at}>${file
          ? html`<button type="button" class="link" aria-current=${isIn(chapter, chapters, at) ? "true" : undefined} onClick=${() => setWanted({ at: chapter.at })}><span class="clock">${duration(chapter.at)}</span> ${chapter.label}</button>`
          : html`<span class="clock">${duration(chapter.at)}</span> ${chapter.label}`}</li>`)}
      </ol>
      <${Timeline} label=${t("player.participants")} from=${from} to=${to} marks=${file ? [{ at: from + at * 1000, label: "" }] : []}
        rows=${(recording.participants ?? []).map(({ user, stays }) => ({
          key: user,
          label: user,
          bars: stays.map(({ joinedAt, leftAt }) => ({ from: Date.parse(joinedAt), to: leftAt ? Date.parse(leftAt) : to })),
        }))} />
    </section>`;
}

/** The player itself. A link that has expired is made again once, at the same place. */
function Media({ file, link, wanted, onTime }) {
  const media = useRef(null);
  const [round, setRound] = useState(0);
  const place = useRef(wanted.at);
  const address = useLoaded(() => link(file.name), [file.sha256, round]);
  const [broken, setBroken] = useState(false);
  useEffect(() => {
    place.current = wanted.at;
    if (!media.current || media.current.readyState === 0) return; // it begins there once it is loaded
    media.current.currentTime = wanted.at;
    begin(media.current);
  }, [wanted]);
  const loaded = ({ target }) => {
    if (place.current > 0) target.currentTime = place.current;
    begin(target);
  };
  const failed = () => {
    if (round === 0 && place.current > 0) setRound(1);
    else setBroken(true);
  };
  if (address.error) return html`<${ErrorNotice} error=${address.error} retry=${address.reload} />`;
  if (!address.data) return html`<${Busy} />`;
  const shown = {
    ref: media, src: address.data, controls: true, preload: "metadata", "aria-label": file.name,
    onLoadedMetadata: loaded,
    onError: failed,
    onTimeUpdate: ({ target }) => {
      place.current = target.currentTime;
      onTime(target.currentTime);
    },
  };
  return html`
    ${broken && html`<p class="notice" role="alert">${t("player.broken")}</p>`}
    ${file.kind === "audio" ? html`<audio ...${shown}></audio>` : html`<video ...${shown} playsinline></video>`}`;
}

/** Play; a browser may ask for another gesture first. */
function begin(media) {
  media.focus();
  media.play().catch(() => {});
}

const isIn = (chapter, chapters, at) => {
  const next = chapters[chapters.indexOf(chapter) + 1];
  return at >= chapter.at && (!next || at < next.at);
};

/**
 * Chapters by who joined and left: {at: seconds, label}. The first one names who was there.
 * @param {{user: string, stays: {joinedAt: string, leftAt?: string}[]}[]} people
 */
export function chaptersOf(people, from, to) {
  const changes = people.flatMap(({ user, stays }) => stays.flatMap(({ joinedAt, leftAt }) => [
    { at: (Date.parse(joinedAt) - from) / 1000, user, joined: true },
    ...(leftAt ? [{ at: (Date.parse(leftAt) - from) / 1000, user, joined: false }] : []),
  ])).sort((a, b) => a.at - b.at);
  const first = changes.filter(({ at, joined }) => joined && at <= SOON_S).map(({ user }) => user);
  const chapters = [{ at: 0, label: first.length ? first.join(", ") : t("player.start") }];
  for (const { at, user, joined } of changes) {
    if (at <= SOON_S || at >= (to - from) / 1000 - SOON_S) continue;
    const label = t(joined ? "player.joined" : "player.left", { user });
    const last = chapters.at(-1);
    if (at - last.at < SOON_S) last.label += `, ${label}`;
    else chapters.push({ at, label });
  }
  return chapters;
}
