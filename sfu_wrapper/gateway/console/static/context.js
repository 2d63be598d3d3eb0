// What every view gets: the session, HTTP, what is live, and the address of the view.

import { createContext, useContext, useEffect, useState } from "./html.js";

/** @type {any} {session, api, live, say} */
export const Console = createContext(null);
export const useConsole = () => useContext(Console);

/** Draw again when something live has changed; returns Live. */
export function useLive() {
  const { live } = useConsole();
  const [, draw] = useState(0);
  useEffect(() => live.onChange(() => draw((count) => count + 1)), [live]);
  return live;
}

/**
 * Read with `load(signal)` once, and again when one of `inputs` changes or `reload` is called. The
 * last data stay until the next are there.
 * @returns {{data: any, error: any, busy: boolean, reload: () => void, set: (data: any) => void}}
 */
export function useLoaded(load, inputs) {
  const [state, setState] = useState({ data: undefined, error: undefined, busy: true });
  const [round, again] = useState(0);
  useEffect(() => {
    const gone = new AbortController();
    setState((before) => ({ ...before, busy: true }));
    load(gone.signal).then(
      (data) => gone.signal.aborted || setState({ data, error: undefined, busy: false }),
      (error) => gone.signal.aborted || setState((before) => ({ ...before, error, busy: false })),
    );
    return () => gone.abort();
  }, [...inputs, round]);
  return {
    ...state,
    reload: () => again((count) => count + 1),
    set: (data) => setState({ data, error: undefined, busy: false }),
  };
}

/** Draw each second, for clocks that run; only while `running`. */
export function useClock(running = true) {
  const [, draw] = useState(0);
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(() => draw((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, [running]);
}

/** The view and its parts: "#/recordings/UUID/1?state=ready" → {name, parts, query}. */
export function parseAddress(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...parts] = path.split("/").map(decoded);
  return { name, parts, query: new URLSearchParams(query) };
}

/** A part of an address that somebody has written, which may have a "%" of its own. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Address of a view. */
export function href(name, parts = [], query = {}) {
  const kept = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== ""));
  const path = [name, ...parts.map((part) => encodeURIComponent(part))].join("/");
  return `#/${path}${kept.size ? `?${kept}` : ""}`;
}
