// The audit log of a domain, the newest entries first.

import { useConsole } from "../context.js";
import { useDomain } from "../fields.js";
import { html, useState } from "../html.js";
import { Badge, Busy, ErrorNotice, More, Table, Time, Title } from "../parts.js";
import { usePages } from "../pages.js";
import { coded, t } from "../text.js";

const PAGE = 50;

export function Audit() {
  const { api, session } = useConsole();
  const [domain, picker] = useDomain();
  const [wanted, setWanted] = useState("");
  const of = domain === session.domain ? {} : { domain };
  // Pages of the server go on from the oldest entry: the newest page begins where the last one ends.
  const pages = usePages(async (before, signal) => {
    const last = before ?? (await api.get("/audit/head", of, { signal })).number + 1;
    const after = Math.max(0, last - 1 - PAGE);
    const count = last - 1 - after;
    if (count <= 0) return { items: [] };
    const page = await api.get("/audit", { ...of, after, limit: count }, { signal });
    return { items: page.entries.reverse(), next: after > 0 ? after + 1 : undefined };
  }, [domain]);
  const shown = pages.items.filter((entry) => !wanted || JSON.stringify(entry).toLowerCase().includes(wanted.toLowerCase()));
  const columns = [
    { key: "number", head: t("audit.number"), number: true }, { key: "at", head: t("audit.at") }, { key: "actor", head: t("audit.actor") },
    { key: "action", head: t("audit.action") }, { key: "object", head: t("audit.object") }, { key: "outcome", head: t("audit.outcome") },
  ];
  const rows = shown.map((entry) => ({
    key: String(entry.number),
    cells: {
      number: entry.number,
      at: html`<${Time} at=${entry.at} />`,
      actor: entry.actor === null ? t("audit.system") : entry.actorDomain === entry.domain ? entry.actor : `${entry.actorDomain}/${entry.actor}`,
      action: coded("action", entry.action),
      object: html`<code>${entry.object}</code>${details(entry)}`,
      outcome: html`<${Badge} kind=${entry.outcome === "done" ? "good" : "warn"}>${entry.outcome === "done" ? t("audit.done") : coded("error", entry.outcome)}<//>`,
    },
  }));
  return html`
    <${Title} extra=${html`<button type="button" onClick=${pages.reload}>${t("reload")}</button>`}>${t("audit.title")}<//>
    ${picker}
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <div class="field"><label for="audit-search">${t("audit.search")}</label>
        <input id="audit-search" type="search" value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></div>
    </form>
    <p class="hint">${t("audit.hint")}</p>
    <${ErrorNotice} error=${pages.error} retry=${pages.reload} />
    ${pages.loaded ? html`<${Table} label=${t("audit.title")} columns=${columns} rows=${rows} empty=${t("audit.none")} />` : !pages.error && html`<${Busy} />`}
    <${More} pages=${pages} />`;
}

/** Facts of an entry, as they are stored. */
function details(entry) {
  const facts = Object.entries(entry.details ?? {}).map(([key, value]) => `${key} ${value}`);
  return facts.length > 0 && html`<div class="hint">${facts.join(", ")}</div>`;
}
