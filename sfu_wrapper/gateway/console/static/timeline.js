// A time line: rows of bars over one span of time, each also as text for screen readers.

import { html } from "./html.js";
import { duration, t, time } from "./text.js";

/**
 * @typedef {{from: number, to: number, kind?: string, label?: string}} Bar times are ms since the epoch
 * @param {{label: string, from: number, to: number, rows: {key: string, label: string, bars: Bar[]}[],
 *          marks?: {at: number, label: string}[], seek?: (ms: number) => void}} given
 */
export function Timeline({ label, from, to, rows, marks = [] }) {
  const span = Math.max(1, to - from);
  const part = (at) => `${(100 * (Math.min(to, Math.max(from, at)) - from)) / span}%`;
  return html`
    <div class="timeline" role="group" aria-label=${label}>
      <ul>${rows.map((row) => html`
        <li key=${row.key}>
          <span class="row-label">${row.label}</span>
          <span class="track">
            ${row.bars.map((bar, index) => html`
              <span key=${index} class=${`stay ${bar.kind ?? ""}`} title=${spoken(bar)}
                style=${{ left: part(bar.from), width: `calc(${part(bar.to)} - ${part(bar.from)})` }}></span>`)}
            ${marks.map((mark) => html`<span key=${mark.at} class="mark" style=${{ left: part(mark.at) }}></span>`)}
          </span>
          <span class="sr">${row.bars.map(spoken).join("; ")}</span>
        </li>`)}
      </ul>
      <p class="scale hint" aria-hidden="true"><span>${time(from)}</span><span>${duration(span / 1000)}</span><span>${time(to)}</span></p>
    </div>`;
}

const spoken = (bar) => [bar.label, t("timeline.bar", { from: time(bar.from), to: time(bar.to), length: duration((bar.to - bar.from) / 1000) })]
  .filter(Boolean)
  .join(": ");
