// Fields of forms, and the domain that an administrator or the service looks at.

import { useConsole } from "./context.js";
import { html, useState } from "./html.js";
import { hasRole } from "./session.js";
import { t } from "./text.js";

/** A labelled input; more attributes go to the input. */
export const Field = ({ id, label, ...more }) => html`
  <div class="field"><label for=${id}>${label}</label><input id=${id} name=${id} autocomplete="off" spellcheck=${false} ...${more} /></div>`;

/** A labelled choice: `options` maps values to texts. */
export const Choice = ({ id, label, value, options, ...more }) => html`
  <div class="field"><label for=${id}>${label}</label>
    <select id=${id} name=${id} value=${value} ...${more}>
      ${Object.entries(options).map(([each, text]) => html`<option key=${each} value=${each} selected=${each === value}>${text}</option>`)}
    </select></div>`;

/** The domain in question: that of the user; the service may name another one. */
export function useDomain() {
  const { session } = useConsole();
  const [domain, setDomain] = useState(session.domain);
  const picker = hasRole(session, "service") && html`
    <form class="filters" onSubmit=${(event) => {
      event.preventDefault();
      setDomain(String(new FormData(event.target).get("domain")).trim() || session.domain);
    }}>
      <${Field} id="domain" label=${t("domain")} value=${domain} />
      <button type="submit">${t("show")}</button>
    </form>`;
  return [domain, picker];
}

/** Whether the user administers a domain; the service only reads. */
export const administers = (session, domain) => hasRole(session, "domain-admin") && session.domain === domain;
