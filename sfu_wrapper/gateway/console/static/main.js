// The console: sign-in, navigation, and one view at a time.

import { Api } from "./api.js";
import { Console, parseAddress } from "./context.js";
import { Component, html, render, useCallback, useEffect, useMemo, useState } from "./html.js";
import { Live } from "./live.js";
import * as sessions from "./session.js";
import { loadTexts, t } from "./text.js";
import { VIEWS } from "./views.js";

const SAID_MS = 8000; // how long something that went well is said

function App() {
  const [session, setSession] = useState(sessions.restore);
  const [why, setWhy] = useState("");
  const leave = useCallback((reason = "") => {
    sessions.forget();
    setWhy(reason);
    setSession(null);
  }, []);
  return session
    ? html`<${Signed} key=${session.token} session=${session} leave=${leave} />`
    : html`<${SignIn} why=${why} enter=${setSession} />`;
}

function SignIn({ why, enter }) {
  const [wrong, setWrong] = useState(why);
  const submit = (event) => {
    event.preventDefault();
    const session = sessions.keep(String(new FormData(event.target).get("token")));
    if (session) enter(session);
    else setWrong(t("signIn.noToken"));
  };
  return html`
    <main class="alone">
      <section class="card" aria-labelledby="sign-in">
        <h1 id="sign-in">${t("signIn.title")}</h1>
        ${wrong && html`<p class="notice" role="alert">${wrong}</p>`}
        ${sessions.meta("login") && html`<button type="button" class="primary" onClick=${sessions.login}>${t("signIn.provider")}</button>`}
        <form onSubmit=${submit}>
          <label for="token">${t("signIn.token")}</label>
          <input id="token" name="token" type="password" autocomplete="off" spellcheck="false" required />
          <p class="hint">${t("signIn.hint")}</p>
          <button class=${sessions.meta("login") ? "" : "primary"} type="submit">${t("signIn.continue")}</button>
        </form>
      </section>
    </main>`;
}

function Signed({ session, leave }) {
  const expired = useCallback(() => leave(t("signIn.expired")), [leave]);
  const [said, setSaid] = useState({ text: "", kind: "" });
  const parts = useMemo(() => {
    const api = new Api(session.token, expired);
    const say = (text, kind = "") => setSaid({ text, kind });
    return { session, api, live: new Live(session, api, expired), say };
  }, [session]);
  useEffect(() => () => parts.live.close(), [parts]);
  useEffect(() => {
    if (!said.text || said.kind === "error") return undefined;
    const timer = setTimeout(() => setSaid({ text: "", kind: "" }), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const place = useAddress();
  useEffect(() => setSaid({ text: "", kind: "" }), [place.name, place.parts.join("/")]);
  const shown = VIEWS.filter((view) => view.visible(session));
  const view = shown.find(({ name }) => name === place.name) ?? shown[0];
  useEffect(() => { document.title = t("pageTitle", { view: t(view.title) }); }, [view]);
  return html`
    <${Console.Provider} value=${parts}>
      <a class="skip" href="#view" onClick=${skip}>${t("skip")}</a>
      <header class="bar">
        <p class="brand">${t("brand")}</p>
        <nav aria-label=${t("navigation")}>
          ${shown.map(({ name, title }) => html`
            <a key=${name} href=${`#/${name}`} aria-current=${name === view.name ? "page" : undefined}>${t(title)}</a>`)}
        </nav>
        <p class="me"><${Connection} live=${parts.live} /> ${session.user} <span class="muted">${session.domain}</span>
          <button type="button" onClick=${() => leave()}>${t("signOut")}</button></p>
      </header>
      <main id="view" tabindex="-1">
        <p class=${said.text ? `notice ${said.kind}` : "sr"} role="status" id="said">${said.text}</p>
        <${Guard} key=${view.name}><${view.component} place=${place} /><//>
      </main>
    <//>`;
}

/** A view that fails says so, and leaves the others usable. */
class Guard extends Component {
  componentDidCatch(error) {
    console.error(error);
    this.setState({ failed: true });
  }

  render({ children }, { failed }) {
    return failed ? html`<p class="notice" role="alert">${t("viewFailed")}</p>` : children;
  }
}

/** A link within the page would be taken for the address of a view. */
function skip(event) {
  event.preventDefault();
  document.getElementById("view").focus();
}

function Connection({ live }) {
  const [state, setState] = useState(live.state);
  useEffect(() => live.onChange(() => setState(live.state)), [live]);
  return html`<span class=${`connection ${state}`} role="status">${t(`connection.${state}`)}</span>`;
}

function useAddress() {
  const [place, setPlace] = useState(parseAddress);
  useEffect(() => {
    const moved = () => setPlace(parseAddress());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return place;
}

await loadTexts();
render(html`<${App} />`, document.getElementById("app"));
