// Permissions of the user, of a domain and of its users, with the decision that results.

import { segment } from "../api.js";
import { useConsole, useLoaded } from "../context.js";
import { source } from "../decisions.js";
import { administers, Choice, Field, useDomain } from "../fields.js";
import { html, useState } from "../html.js";
import { Action, Busy, Dialog, ErrorNotice, Title } from "../parts.js";
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
      ${user && html`
        <${Permission} key=${`user ${domain} ${user}`} heading=${t("permissions.ofUser", { user })}
          path=${`/permissions/domain/${segment(domain)}/user/${segment(user)}`}
          effective=${hasRole(session, "service") ? { user, domain } : { user }} writable=${administers(session, domain)} />`}`}`;
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
    await api.delete(path, { headers: unchanged() });
    say(t("permissions.removed"));
    again();
  };
  const now = stored.data?.body?.recording;
  const why = writable ? null : t("permissions.readOnly");
  return html`
    <section class="card" aria-label=${heading}>
      <h2>${heading}</h2>
      ${stored.error ? html`<${ErrorNotice} error=${stored.error} retry=${again} />` : stored.data === undefined ? html`<${Busy} />` : html`
        <p>${now ? t("permissions.stored", { type: t(`type.${now.recordingType}`), profile: t(`profile.${now.recordingProfile}`) }) : t("permissions.none")}</p>`}
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
