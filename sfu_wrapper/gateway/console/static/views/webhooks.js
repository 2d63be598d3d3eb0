// Webhooks of the domain: their addresses, and what became of each delivery.

import { segment } from "../api.js";
import { useConsole, useLoaded } from "../context.js";
import { Field } from "../fields.js";
import { html, useState } from "../html.js";
import { Action, Badge, Busy, Dialog, ErrorNotice, More, Table, Time, Title } from "../parts.js";
import { usePages } from "../pages.js";
import { hasRole } from "../session.js";
import { coded, t } from "../text.js";

const TYPES = ["recording.started", "recording.stopped", "recording.ready", "recording.failed", "recording.deleted", "recording.missed", "room.ended"];

export function Webhooks() {
  const { api, say, session } = useConsole();
  const [adding, setAdding] = useState(false);
  const [secret, setSecret] = useState("");
  const [opened, setOpened] = useState("");
  const [tests, setTests] = useState(0);
  const listed = useLoaded((signal) => api.get("/webhooks", {}, { signal }), []);
  const why = hasRole(session, "domain-admin") ? null : t("permissions.readOnly");
  const add = async (data) => {
    const made = await api.post("/webhooks", { url: String(data.get("url")).trim(), types: data.getAll("types") });
    setSecret(made.secret);
    listed.reload();
  };
  const remove = (each) => async () => {
    await api.delete(`/webhooks/${segment(each.id)}`);
    say(t("webhooks.removed"));
    listed.reload();
  };
  const test = (each) => async () => {
    await api.post(`/webhooks/${segment(each.id)}/test`);
    say(t("webhooks.tested"));
    setOpened(each.id);
    setTests((count) => count + 1); // reads the deliveries again where they are open
  };
  return html`
    <${Title} extra=${html`<${Action} kind="primary" why=${why} act=${async () => setAdding(true)}>${t("webhooks.add")}<//>`}>${t("webhooks.title")}<//>
    ${secret && html`<p class="notice" role="status">${t("webhooks.secret")} <code>${secret}</code></p>`}
    ${listed.error ? html`<${ErrorNotice} error=${listed.error} retry=${listed.reload} />` : !listed.data ? html`<${Busy} />`
      : listed.data.webhooks.length === 0 && html`<p class="hint empty">${t("webhooks.none")}</p>`}
    ${(listed.data?.webhooks ?? []).map((each) => html`
      <section class="card" key=${each.id} aria-label=${each.url}>
        <h2>${each.url}</h2>
        <p class="hint">${each.types.length ? each.types.map((type) => coded("event", type)).join(", ") : t("webhooks.all")}</p>
        ${each.disabled && html`<p><${Badge} kind="warn">${t("webhooks.disabled", { why: each.disabled })}<//></p>`}
        <div class="buttons">
          <button type="button" aria-expanded=${opened === each.id ? "true" : "false"} onClick=${() => setOpened(opened === each.id ? "" : each.id)}
            aria-label=${t("webhooks.deliveriesOf", { url: each.url })}>${t("webhooks.deliveries")}</button>
          <${Action} why=${why} act=${test(each)} label=${t("webhooks.sendTest", { url: each.url })}>${t("webhooks.test")}<//>
          <${Action} kind="danger" why=${why} act=${remove(each)} label=${t("webhooks.removeOf", { url: each.url })}>${t("remove")}<//>
        </div>
        ${opened === each.id && html`<${Deliveries} key=${tests} webhook=${each} why=${why} />`}
      </section>`)}
    ${adding && html`
      <${Dialog} title=${t("webhooks.add")} confirm=${t("add")} close=${() => setAdding(false)} act=${add}>
        <${Field} id="url" label=${t("webhooks.url")} type="url" required=${true} placeholder="https://" />
        <fieldset><legend>${t("webhooks.types")}</legend>
          ${TYPES.map((type) => html`<label class="check" key=${type}><input type="checkbox" name="types" value=${type} /> ${coded("event", type)}</label>`)}
        </fieldset>
      <//>`}`;
}

function Deliveries({ webhook, why }) {
  const { api, say } = useConsole();
  const path = `/webhooks/${segment(webhook.id)}/deliveries`;
  const pages = usePages(async (after, signal) => {
    const page = await api.get(path, { after, limit: 20 }, { signal });
    return { items: page.deliveries, next: page.next ?? undefined };
  }, [path]);
  const retry = (each) => async () => {
    const changed = await api.post(`${path}/${segment(each.id)}/retry`);
    pages.update((items) => items.map((item) => (item.id === changed.id ? changed : item)));
    say(t("webhooks.retried"));
  };
  const columns = [
    { key: "at", head: t("webhooks.at") }, { key: "type", head: t("webhooks.type") }, { key: "subject", head: t("webhooks.subject") },
    { key: "state", head: t("webhooks.state") }, { key: "attempts", head: t("webhooks.attempts"), number: true }, { key: "actions", head: t("rooms.actions") },
  ];
  const rows = pages.items.map((each) => ({
    key: each.id,
    cells: {
      at: html`<${Time} at=${each.at} />`,
      type: coded("event", each.type),
      subject: html`<code>${each.subject}</code>`,
      state: html`<${Badge} kind=${each.state === "delivered" ? "good" : each.state === "givenUp" ? "warn" : ""}>${t(`delivery.${each.state}`)}<//>
        <div class="hint">${[each.status && t("webhooks.status", { status: each.status }), each.error].filter(Boolean).join(" ")}
          ${each.nextAttemptAt && html` ${t("webhooks.next")} <${Time} at=${each.nextAttemptAt} />`}</div>`,
      attempts: each.attempts,
      actions: each.state !== "delivered" && html`<${Action} why=${why} act=${retry(each)} label=${t("webhooks.retryOf", { subject: each.subject })}>${t("tryAgain")}<//>`,
    },
  }));
  return html`
    <${ErrorNotice} error=${pages.error} retry=${pages.reload} />
    ${pages.loaded && html`<${Table} label=${t("webhooks.deliveriesOf", { url: webhook.url })} columns=${columns} rows=${rows} empty=${t("webhooks.noDeliveries")} />`}
    <div class="buttons"><button type="button" onClick=${pages.reload}>${t("reload")}</button></div>
    <${More} pages=${pages} />`;
}
