// Who is signed in: the token of this tab, and what its claims say. The server decides by the same
// claims; here they only choose what is shown.

const KEPT = "sfu-wrapper.token"; // as on the call page: one sign-in for both
const STATE = "sfu-wrapper.state";
const BACK = "sfu-wrapper.back"; // the view that asked for a sign-in

/** @type {(name: string) => string} */
export const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";

// The clock of the server against this one.
const skewMs = Number(meta("now")) - (performance.timeOrigin + performance.now());
/** Return the time of the server, ms since the epoch. */
export const now = () => Date.now() + skewMs;

/**
 * @typedef {{token: string, user: string, domain: string, roles: string[], expiresMs: number}} Session
 */

/**
 * Return what a token says; null if it is no JWT. Nothing is verified here.
 * @param {string} token
 * @returns {Session | null}
 */
export function read(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (each) => each.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims.sub !== "string" || typeof claims.domain !== "string") return null;
    const roles = Array.isArray(claims.roles) ? claims.roles : ["user"];
    return { token, user: claims.sub, domain: claims.domain, roles, expiresMs: Number(claims.exp) * 1000 };
  } catch {
    return null;
  }
}

/** Return the session of this tab: that of the address, which is cleaned, or the kept one. */
export function restore() {
  const given = new URLSearchParams(location.hash.startsWith("#/") ? "" : location.hash.slice(1));
  const token = given.get("token") ?? answered(given);
  if (!location.hash.startsWith("#/")) {
    history.replaceState(null, "", location.pathname + (sessionStorage.getItem(BACK) ?? "#/"));
    sessionStorage.removeItem(BACK);
  }
  const session = read(token ?? sessionStorage.getItem(KEPT) ?? "");
  if (session) sessionStorage.setItem(KEPT, session.token);
  return session;
}

/** The token that the identity provider returned to a request of this tab, and to no other. */
function answered(given) {
  const token = given.get("access_token") ?? given.get("id_token");
  const state = sessionStorage.getItem(STATE);
  sessionStorage.removeItem(STATE);
  return token && state && given.get("state") === state ? token : null;
}

/** @param {string} token */
export function keep(token) {
  const session = read(token.trim());
  if (session) sessionStorage.setItem(KEPT, session.token);
  return session;
}

export function forget() {
  sessionStorage.removeItem(KEPT);
}

/** Go to the page of the identity provider (auth.loginUrl), which returns here with a token. */
export function login() {
  const address = new URL(meta("login"));
  const state = crypto.getRandomValues(new Uint32Array(4)).join("-");
  sessionStorage.setItem(STATE, state);
  sessionStorage.setItem(BACK, location.hash || "#/");
  address.searchParams.set("redirect_uri", location.origin + location.pathname);
  address.searchParams.set("state", state);
  address.searchParams.set("nonce", state);
  location.assign(address);
}

/** @param {Session} session @param {...string} roles */
export const hasRole = (session, ...roles) => roles.some((role) => session.roles.includes(role));
