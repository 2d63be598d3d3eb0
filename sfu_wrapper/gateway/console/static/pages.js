// Lists that the server hands out in pages: `next` of one page is `after` of the next one.

import { useCallback, useEffect, useRef, useState } from "./html.js";

/**
 * Read pages with `load(after, signal)` → {items, next?}; from the first one when an input changes.
 * A page may be empty although there is a next one: then the next one is read too, up to 20.
 * @returns {{items: any[], next?: string, busy: boolean, error: any, loaded: boolean,
 *            more: () => void, reload: () => void, update: (change: (items: any[]) => any[]) => void}}
 */
export function usePages(load, inputs) {
  const [state, setState] = useState({ items: [], next: undefined, busy: true, error: null, loaded: false });
  const [round, setRound] = useState(0);
  const current = useRef(null);
  const read = useCallback(async (after, before) => {
    const gone = new AbortController();
    current.current?.abort();
    current.current = gone;
    setState((was) => ({ ...was, busy: true, error: null }));
    try {
      let page = await load(after, gone.signal);
      for (let count = 0; page.items.length === 0 && page.next && count < 20; count += 1) page = await load(page.next, gone.signal);
      if (gone.signal.aborted) return;
      setState({ items: [...before, ...page.items], next: page.next, busy: false, error: null, loaded: true });
    } catch (error) {
      if (!gone.signal.aborted) setState((was) => ({ ...was, busy: false, error }));
    }
  }, inputs);
  useEffect(() => {
    read(undefined, []);
    return () => current.current?.abort();
  }, [...inputs, round]);
  return {
    ...state,
    more: () => !state.busy && read(state.next, state.items),
    reload: () => setRound((count) => count + 1),
    update: (change) => setState((was) => ({ ...was, items: change(was.items) })),
  };
}
