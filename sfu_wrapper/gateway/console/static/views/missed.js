// Calls that were not recorded as decided, and how much each owner has recorded.

import { href, useConsole } from "../context.js";
import { html } from "../html.js";
import { Busy, ErrorNotice, More, Table, Time, Title } from "../parts.js";
import { usePages } from "../pages.js";
import { bytes, coded, duration, t } from "../text.js";

export function Missed() {
  const { api } = useConsole();
  const pages = usePages(async (after, signal) => {
    const page = await api.get("/recordings/missed", { after, limit: 50 }, { signal });
    return { items: page.calls, next: page.next };
  }, []);
  const columns = [
    { key: "room", head: t("rooms.room") }, { key: "owner", head: t("rooms.owner") }, { key: "when", head: t("missed.established") },
    { key: "wanted", head: t("missed.wanted"), number: true }, { key: "recorded", head: t("missed.recorded"), number: true }, { key: "why", head: t("missed.why") },
  ];
  const rows = pages.items.map((call) => ({
    key: call.uuid,
    cells: {
      room: html`<a href=${href("rooms", [call.room], { domain: call.domain })}>${call.room}</a>`,
      owner: call.owner,
      when: html`<${Time} at=${call.establishedAt} />`,
      wanted: duration(call.wantedSeconds),
      recorded: duration(call.recordedSeconds),
      why: html`<ul class="plain">${call.reasons.map((reason, index) => html`
        <li key=${index}>${coded("miss", reason.code)} ${reason.recordings.map((each) => html` <a key=${each} href=${href("recordings", each.split("/"))}>${t("room.segment", { number: each.split("/")[1] })}</a>`)}</li>`)}</ul>`,
    },
  }));
  return html`
    <${Title} extra=${html`<button type="button" onClick=${pages.reload}>${t("reload")}</button>`}>${t("missed.title")}<//>
    <p class="hint">${t("missed.hint")}</p>
    <${ErrorNotice} error=${pages.error} retry=${pages.reload} />
    ${pages.loaded ? html`<${Table} label=${t("missed.title")} columns=${columns} rows=${rows} empty=${t("missed.none")} />` : !pages.error && html`<${Busy} />`}
    <${More} pages=${pages} />
    <${Usage} />`;
}

function Usage() {
  const { api } = useConsole();
  const pages = usePages(async (after, signal) => {
    const page = await api.get("/usage", { after, limit: 50 }, { signal });
    return { items: page.usage, next: page.next };
  }, []);
  const columns = [
    { key: "owner", head: t("rooms.owner") }, { key: "count", head: t("recordings.title"), number: true },
    { key: "length", head: t("room.length"), number: true }, { key: "bytes", head: t("recordings.size"), number: true },
  ];
  const rows = pages.items.map((each) => ({
    key: `${each.domain}/${each.owner}`,
    cells: { owner: each.owner, count: each.recordings, length: duration(each.seconds), bytes: bytes(each.bytes) },
  }));
  return html`
    <section class="card" aria-labelledby="usage">
      <h2 id="usage">${t("usage.title")}</h2>
      <${ErrorNotice} error=${pages.error} retry=${pages.reload} />
      ${pages.loaded && html`<${Table} label=${t("usage.title")} columns=${columns} rows=${rows} empty=${t("recordings.none")} />`}
      <${More} pages=${pages} />
    </section>`;
}
