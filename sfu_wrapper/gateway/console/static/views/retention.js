// How long a domain keeps recordings, and the erasure of a person.

import { segment } from "../api.js";
import { href, useConsole, useLoaded } from "../context.js";
import { administers, Field, useDomain } from "../fields.js";
import { html, useState } from "../html.js";
import { Action, Busy, Dialog, ErrorNotice, Title } from "../parts.js";
import { t } from "../text.js";

const SHOWN = 20; // recordings that a preview names

export function Retention() {
  const { api, say, session } = useConsole();
  const [domain, picker] = useDomain();
  const [editing, setEditing] = useState(false);
  const path = `/retention/domain/${segment(domain)}`;
  const kept = useLoaded((signal) => api.read(path, signal), [path]);
  const mine = administers(session, domain);
  const why = mine ? null : t("permissions.readOnly");
  const days = kept.data?.body?.days;
  const save = async (data) => {
    await api.put(path, { days: Number(data.get("days")) });
    say(t("retention.saved"));
    kept.reload();
  };
  const remove = async () => {
    await api.delete(path);
    say(t("retention.removed"));
    kept.reload();
  };
  return html`
    <${Title}>${t("retention.title")}<//>
    ${picker}
    <section class="card" aria-label=${t("retention.ofDomain", { domain })}>
      <h2>${t("retention.ofDomain", { domain })}</h2>
      ${kept.error ? html`<${ErrorNotice} error=${kept.error} retry=${kept.reload} />` : kept.data === undefined ? html`<${Busy} />`
        : html`<p>${days === undefined ? t("retention.system") : t("retention.days", { count: days })}</p>`}
      <p class="hint">${t("retention.hint")}</p>
      <div class="buttons">
        <${Action} why=${why} act=${async () => setEditing(true)}>${t("change")}<//>
        ${days !== undefined && html`<${Action} why=${why} act=${remove}>${t("remove")}<//>`}
      </div>
      ${editing && html`
        <${Dialog} title=${t("retention.ofDomain", { domain })} confirm=${t("save")} close=${() => setEditing(false)} act=${save}>
          <${Field} id="days" label=${t("retention.field")} type="number" min="1" max="36500" step="1" required=${true} value=${days ?? 90} />
        <//>`}
    </section>
    ${mine && html`<${Erasure} />`}`;
}

function Erasure() {
  const { api, say } = useConsole();
  const [preview, setPreview] = useState(null);
  const [error, setError] = useState(null);
  const [asked, setAsked] = useState(false);
  const look = async (event) => {
    event.preventDefault();
    setError(null);
    setPreview(null);
    try {
      setPreview(await api.post("/erasures", { user: String(new FormData(event.target).get("person")).trim() }));
    } catch (refused) {
      setError(refused);
    }
  };
  const erase = async () => {
    const done = await api.post("/erasures", { user: preview.user, confirm: true, count: preview.count });
    setPreview(null);
    say(t("erasures.done", { count: done.count, user: done.user }));
  };
  return html`
    <section class="card" aria-labelledby="erasure">
      <h2 id="erasure">${t("erasures.title")}</h2>
      <p class="hint">${t("erasures.hint")}</p>
      <form class="filters" onSubmit=${look}>
        <${Field} id="person" label=${t("erasures.person")} required=${true} />
        <button type="submit">${t("erasures.preview")}</button>
      </form>
      <${ErrorNotice} error=${error} />
      ${preview && html`
        <div role="status">
          <p>${t("erasures.count", { count: preview.count, user: preview.user })}</p>
          <ul>${preview.recordings.slice(0, SHOWN).map(({ recording, owned }) => html`<li key=${recording}>
            <a href=${href("recordings", recording.split("/"))}>${recording}</a> <span class="hint">${t(owned ? "erasures.owned" : "erasures.tookPart")}</span></li>`)}</ul>
          ${preview.count > SHOWN && html`<p class="hint">${t("erasures.others", { count: preview.count - SHOWN })}</p>`}
          ${preview.held.length > 0 && html`<p>${t("erasures.held", { count: preview.held.length })}</p>`}
          ${preview.running.length > 0 && html`<p>${t("erasures.running", { count: preview.running.length })}</p>`}
          <${Action} kind="danger" why=${preview.count ? null : t("erasures.nothing")} act=${async () => setAsked(true)}>${t("erasures.erase")}<//>
        </div>`}
      ${asked && preview && html`
        <${Dialog} title=${t("erasures.confirm", { user: preview.user })} confirm=${t("erasures.erase")} danger=${true} close=${() => setAsked(false)}
          act=${async (data) => {
            if (data.get("again") !== preview.user) throw Object.assign(new Error(), { code: "NOT_TYPED" });
            await erase();
          }}>
          <p>${t("erasures.count", { count: preview.count, user: preview.user })} ${t("erasures.final")}</p>
          <${Field} id="again" label=${t("erasures.again")} required=${true} />
        <//>`}
    </section>`;
}
