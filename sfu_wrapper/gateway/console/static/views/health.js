// Whether the parts of the installation work, and whether recordings wait for a worker.

import { useConsole, useLive, useLoaded } from "../context.js";
import { html, useEffect } from "../html.js";
import { Badge, Busy, ErrorNotice, Table, Time, Title } from "../parts.js";
import { hasRole, now } from "../session.js";
import { coded, duration, t } from "../text.js";

const MOST = 500; // recordings that are counted
const PAUSE_MS = 2000; // between two reads because of events
const SLOW_S = 300; // a recording that waits longer is worth a look

export function Health() {
  const { api, session } = useConsole();
  const live = useLive();
  // 503 has the same body: what is unavailable.
  const health = useLoaded((signal) => api.health(signal), [live.state]);
  const trusted = hasRole(session, "domain-admin", "service");
  useEffect(() => {
    let timer;
    const end = live.onEvent((event) => {
      if (event !== "recordingChanged" || !trusted || timer !== undefined) return;
      timer = setTimeout(() => {
        timer = undefined;
        waiting.reload();
        running.reload();
      }, PAUSE_MS);
    });
    return () => {
      end();
      clearTimeout(timer);
    };
  }, [live]);
  const waiting = useLoaded((signal) => (trusted ? api.get("/recordings", { state: "queued", limit: MOST }, { signal }) : Promise.resolve(null)), []);
  const running = useLoaded((signal) => (trusted ? api.get("/recordings", { state: "processing", limit: MOST }, { signal }) : Promise.resolve(null)), []);
  const again = () => [health, waiting, running].forEach((each) => each.reload());
  const columns = [{ key: "part", head: t("health.part") }, { key: "state", head: t("health.state") }, { key: "since", head: t("health.since") }, { key: "detail", head: t("health.detail") }];
  const rows = Object.entries(health.data?.parts ?? {}).map(([name, part]) => ({
    key: name,
    cells: {
      part: coded("part", name),
      state: html`<${Badge} kind=${part.state === "ok" ? "good" : "warn"}>${t(`partState.${part.state}`)}<//>`,
      since: html`<${Time} at=${part.since} />`,
      detail: part.detail ?? "",
    },
  }));
  return html`
    <${Title} extra=${html`<button type="button" onClick=${again}>${t("reload")}</button>`}>${t("health.title")}<//>
    ${health.error ? html`<${ErrorNotice} error=${health.error} retry=${health.reload} />` : !health.data ? html`<${Busy} />` : html`
      <p role="status"><${Badge} kind=${health.data.status === "ok" ? "good" : "warn"}>${t(`health.${health.data.status}`)}<//>
        ${health.data.draining && html`<${Badge} kind="warn">${t("health.draining")}<//>`}</p>
      <${Table} label=${t("health.title")} columns=${columns} rows=${rows} />`}
    ${trusted && waiting.data && running.data && html`<${Workers} waiting=${waiting.data} running=${running.data} />`}`;
}

/** What the workers do, by what is recorded of them: the controller does not know the workers themselves. */
function Workers({ waiting, running }) {
  // One that is processed again has not waited since its call.
  const stopped = waiting.recordings.filter(({ retries }) => !retries).map(({ stoppedAt }) => Date.parse(stoppedAt)).filter(Number.isFinite);
  const longest = stopped.length ? (now() - Math.min(...stopped)) / 1000 : 0;
  const count = (page) => (page.next ? t("health.orMore", { count: page.recordings.length }) : String(page.recordings.length));
  return html`
    <section class="card" aria-labelledby="workers">
      <h2 id="workers">${t("health.workers")}</h2>
      <dl class="facts">
        <dt>${t("health.processing")}</dt><dd>${count(running)}</dd>
        <dt>${t("health.waiting")}</dt><dd>${count(waiting)}${stopped.length ? ` ${t("health.longest", { time: duration(longest) })}` : ""}</dd>
      </dl>
      ${longest > SLOW_S && html`<p class="notice" role="status">${t("health.noWorker")}</p>`}
    </section>`;
}
