// Parts that views share: notices, tables, badges, dialogs.

import { ApiError } from "./api.js";
import { useConsole } from "./context.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { coded, t, time } from "./text.js";

/** What is said of an error: its code in words, with what the server adds. */
export function explain(error) {
  if (error.status === 412) return t("changedMeanwhile");
  const words = coded("error", error.code ?? "INTERNAL", error.details);
  const incident = error.details?.incident;
  const said = words === error.code ? `${words}: ${error.message}` : words;
  return incident ? `${said} ${t("incident", { incident })}` : said;
}

/** @param {{error: any, retry?: () => void}} given */
export const ErrorNotice = ({ error, retry }) => error && html`
  <p class="notice" role="alert">
    ${explain(error)}
    ${error instanceof ApiError && error.code === "BAD_REQUEST" && html` <code>${error.message}</code>`}
    ${retry && html` <button type="button" onClick=${retry}>${t("tryAgain")}</button>`}
  </p>`;

/** Heading of a view, which gets the focus when the view is opened. */
export function Title({ children, extra }) {
  const heading = useRef(null);
  useEffect(() => heading.current.focus({ preventScroll: true }), []);
  return html`<div class="title"><h1 ref=${heading} tabindex="-1">${children}</h1>${extra}</div>`;
}

export const Busy = () => html`<p class="hint" role="status">${t("loading")}</p>`;
export const Empty = ({ children }) => html`<p class="hint empty">${children}</p>`;
export const Badge = ({ kind = "", children }) => html`<span class=${`badge ${kind}`}>${children}</span>`;
export const Time = ({ at }) => at ? html`<time datetime=${new Date(at).toISOString()}>${time(at)}</time>` : "–";

/**
 * A table that becomes cards on a phone: each cell has the heading of its column.
 * @param {{label: string, columns: {key: string, head: string, number?: boolean}[],
 *          rows: {key: string, cells: Record<string, any>}[], empty?: string}} given
 */
export const Table = ({ label, columns, rows, empty }) => rows.length === 0 && empty
  ? html`<${Empty}>${empty}<//>`
  : html`
  <table class="cards" aria-label=${label}>
    <thead><tr>${columns.map(({ key, head, number }) => html`<th key=${key} scope="col" class=${number && "number"}>${head}</th>`)}</tr></thead>
    <tbody>${rows.map(({ key, cells }) => html`
      <tr key=${key}>${columns.map((column) => html`
        <td key=${column.key} class=${column.number && "number"} data-head=${column.head}>${cells[column.key]}</td>`)}
      </tr>`)}
    </tbody>
  </table>`;

/** @param {{percent: number | undefined, label: string}} given */
export const Progress = ({ percent, label }) => html`<progress max="100" value=${percent} aria-label=${label}></progress>`;

/**
 * A button that does something on the server: disabled with its reason, busy while it runs, and its
 * error is said. `why` is read out, and shown beside a button that does nothing.
 * @param {{act: () => Promise<any>, why?: string | null, kind?: string, children: any, label?: string}} given
 */
export function Action({ act, why, kind = "", children, label }) {
  const { say } = useConsole();
  const [busy, setBusy] = useState(false);
  const alive = useRef(true);
  useEffect(() => () => { alive.current = false; }, []);
  const run = async () => {
    if (why) {
      say(why);
      return;
    }
    if (busy) return;
    setBusy(true);
    try {
      await act();
    } catch (error) {
      say(explain(error), "error");
    } finally {
      if (alive.current) setBusy(false);
    }
  };
  return html`<button type="button" class=${kind} title=${why} aria-label=${label}
    aria-disabled=${why ? "true" : undefined} aria-busy=${busy ? "true" : undefined} onClick=${run}>${children}</button>`;
}

/**
 * A dialog that asks before something is done. `children` may hold inputs; `act` gets the form's data.
 * @param {{title: string, confirm: string, danger?: boolean, act: (data: FormData) => Promise<any>,
 *          close: () => void, failed?: (error: any) => void, children?: any}} given
 */
export function Dialog({ title, confirm, danger, act, close, failed, children }) {
  const dialog = useRef(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current.showModal();
    return () => opener instanceof HTMLElement && opener.focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await act(new FormData(event.target));
      close();
    } catch (refused) {
      setError(refused);
      setBusy(false);
      failed?.(refused);
    }
  };
  return html`
    <dialog ref=${dialog} aria-labelledby="dialog-title" onClose=${close} onCancel=${(event) => busy && event.preventDefault()}>
      <form onSubmit=${submit}>
        <h2 id="dialog-title">${title}</h2>
        ${children}
        <${ErrorNotice} error=${error} />
        <div class="buttons">
          <button type="button" onClick=${close} disabled=${busy}>${t("cancel")}</button>
          <button type="submit" class=${danger ? "danger" : "primary"} aria-busy=${busy ? "true" : undefined}>${confirm}</button>
        </div>
      </form>
    </dialog>`;
}

/** Buttons of a list in pages: {items, next, …} of `usePages`. */
export const More = ({ pages }) => pages.next && html`
  <p class="more"><button type="button" aria-busy=${pages.busy ? "true" : undefined} onClick=${pages.more}>${t("more")}</button></p>`;
