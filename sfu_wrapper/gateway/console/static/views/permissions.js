// Permissions of the user, of a domain and of its users, with the decision that results.

import { segment } from "../api.js";
import { useConsole, useLoaded } from "../context.js";
import { sentence, source } from "../decisions.js";
import { administers, Choice, Field, useDomain } from "../fields.js";
import { html, useState } from "../html.js";
import { Action, Busy, Dialog, ErrorNotice, More, Table, Time, Title } from "../parts.js";
import { usePages } from "../pages.js";
import { hasRole } from "../session.js";
import { t } from "../text.js";

const TYPES = ["all", "audio", "video", "none"];
const PROFILES = ["always", "optional", "skip"];
const named = (group, values) => Object.fromEntries(values.map((value) => [value, t(`${group}.${value}`)]));

export function Permissions() {
  const { session } = useConsole();
  const [domain, picker] = useDomain();
  const [user, setUser] = useState("");
  const trusted = hasRole(session, "domain-admin", "service");
  const find = (event) => {
    event.preventDefault();
    setUser(String(new FormData(event.target).get("user")).trim());
  };
  return html`
    <${Title}>${t("permissions.title")}<//>
    <p class="hint">${t("permissions.hint")}</p>
    ${picker}
    ${hasRole(session, "user", "domain-admin") && html`
      <${Permission} key="own" heading=${t("permissions.own")} path="/permissions" effective=${{}} writable=${true} />`}
    ${trusted && html`
      <${Permission} key=${`domain ${domain}`} heading=${t("permissions.ofDomain", { domain })}
        path=${`/permissions/domain/${segment(domain)}`} writable=${administers(session, domain)} />
      <form class="filters" role="search" onSubmit=${find}>
        <${Field} id="user" label=${t("permissions.user")} required=${true} />
        <button type="submit">${t("show")}</button>
      </form>
      ${administers(session, domain) && html`<${DryRun} />`}
      ${user && html`
        <${Permission} key=${`user ${domain} ${user}`} heading=${t("permissions.ofUser", { user })}
          path=${`/permissions/domain/${segment(domain)}/user/${segment(user)}`}
          effective=${hasRole(session, "service") ? { user, domain } : { user }} writable=${administers(session, domain)} />`}`}`;
}

/** Which calls of the last days a permission would decide otherwise. */
function DryRun() {
  const { api } = useConsole();
  const [wish, setWish] = useState(null);
  const pages = usePages(async (after, signal) => {
    if (!wish) return { items: [] };
    const page = await api.post("/permissions/dry-run", { ...wish, ...(after ? { after } : {}) }, { signal });
    return { items: page.calls, next: page.next };
  }, [wish]);
  const look = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const user = String(given.get("tried-user")).trim();
    const recording = { recordingType: given.get("tried-type"), recordingProfile: given.get("tried-profile") };
    setWish({ ...(user ? { user } : {}), recording, days: Number(given.get("days")) });
  };
  const columns = [
    { key: "room", head: t("rooms.room") }, { key: "owner", head: t("rooms.owner") }, { key: "when", head: t("missed.established") },
    { key: "now", head: t("dryRun.now") }, { key: "would", head: t("dryRun.would") },
  ];
  const rows = pages.items.map((call) => ({
    key: call.uuid,
    cells: { room: call.room, owner: call.owner, when: html`<${Time} at=${call.establishedAt} />`, now: sentence(call.now), would: sentence(call.would) },
  }));
  return html`
    <section class="card" aria-labelledby="dry-run">
      <h2 id="dry-run">${t("dryRun.title")}</h2>
      <p class="hint">${t("dryRun.hint")}</p>
      <form class="filters" onSubmit=${look}>
        <${Field} id="tried-user" label=${t("dryRun.user")} />
        <${Choice} id="tried-type" label=${t("permissions.type")} value="all" options=${named("type", TYPES)} />
        <${Choice} id="tried-profile" label=${t("permissions.profile")} value="always" options=${named("profile", PROFILES)} />
        <${Field} id="days" label=${t("retention.field")} type="number" min="1" max="365" value="7" required=${true} />
        <button type="submit">${t("dryRun.try")}</button>
      </form>
      <${ErrorNotice} error=${pages.error} />
      ${wish && pages.loaded && !pages.busy && html`<${Table} label=${t("dryRun.title")} columns=${columns} rows=${rows} empty=${t("dryRun.same")} />`}
      <${More} pages=${pages} />
    </section>`;
}

/**
 * One stored permission: what is stored, what counts, and how to change it.
 * @param {{heading: string, path: string, effective?: object, writable: boolean}} given
 */
function Permission({ heading, path, effective, writable }) {
  const { api, say } = useConsole();
  const [editing, setEditing] = useState(false);
  const stored = useLoaded((signal) => api.read(path, signal), [path]);
  const counts = useLoaded((signal) => (effective ? api.get("/permissions/effective", effective, { signal }) : Promise.resolve(null)), [path]);
  const again = () => {
    stored.reload();
    counts.reload();
  };
  const unchanged = () => (stored.data?.etag ? { "If-Match": stored.data.etag } : { "If-None-Match": "*" });
  const save = async (data) => {
    const recording = { recordingType: data.get("type"), recordingProfile: data.get("profile") };
    await api.put(path, { recording }, { headers: unchanged() });
    say(t("permissions.saved"));
    again();
  };
  const remove = async () => {
    try {
      await api.delete(path, { headers: unchanged() });
      say(t("permissions.removed"));
    } finally {
      again(); // a refusal for another version shows that version
    }
  };
  const now = stored.data?.body?.recording;
  const why = writable ? null : t("permissions.readOnly");
  return html`
    <section class="card" aria-label=${heading}>
      <h2>${heading}</h2>
      ${stored.error ? html`<${ErrorNotice} error=${stored.error} retry=${again} />` : stored.data === undefined ? html`<${Busy} />` : html`
        <p>${now ? t("permissions.stored", { type: t(`type.${now.recordingType}`), profile: t(`profile.${now.recordingProfile}`) }) : t("permissions.none")}</p>`}
      <${ErrorNotice} error=${counts.error} retry=${counts.reload} />
      ${counts.data && html`<p><strong>${t(counts.data.records ? "permissions.records" : "permissions.doesNotRecord")}</strong>
        ${" "}${t("permissions.decidedBy", { type: t(`type.${counts.data.recording.recordingType}`), profile: t(`profile.${counts.data.recording.recordingProfile}`), source: source(counts.data) })}</p>`}
      ${stored.data !== undefined && html`<div class="buttons">
        <${Action} why=${why} act=${async () => setEditing(true)} label=${t("permissions.changeOf", { heading })}>${t("change")}<//>
        ${now && html`<${Action} why=${why} act=${remove} label=${t("permissions.removeOf", { heading })}>${t("remove")}<//>`}
      </div>`}
      ${editing && html`
        <${Dialog} title=${heading} confirm=${t("save")} close=${() => setEditing(false)} act=${save} failed=${(error) => error.status === 412 && again()}>
          <${Choice} id="type" label=${t("permissions.type")} value=${now?.recordingType ?? "all"} options=${named("type", TYPES)} />
          <${Choice} id="profile" label=${t("permissions.profile")} value=${now?.recordingProfile ?? "always"} options=${named("profile", PROFILES)} />
        <//>`}
    </section>`;
}
