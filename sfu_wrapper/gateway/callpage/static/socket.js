// One WebSocket that stays, as the page uses it: requests in, answers and events out. A close for what
// was asked, or for who asked, is final here: another window has taken over, or the user has left.

// @ts-ignore: its address is not its place in the folders
import { Client, Unavailable } from "../client/sfu-recording.js";

const REFUSED = 1008;

export class Socket {
  // open(ask, user): asks what each new connection begins with; heard: (event, payload); state:
  // "open", "lost" (it is being opened again) or "closed" (it is not; with the error).
  // repeats: what is refused for a moment only is sent again.
  constructor(url, { token, open, heard, state, repeats = true }) {
    this.ended = false;
    this.state = state;
    const begin = (ask) => open(ask, this.client.user);
    this.client = new Client(url, { token, begin, repeats, firstPauseMs: 300, longestPauseMs: 5000 });
    this.client.on("event", ({ event, payload }) => heard(event, payload));
    this.client.on("state", (change) => this.changed(change));
  }

  get ready() {
    return !this.ended && this.client.state === "open";
  }

  ask(endpoint, payload = {}) {
    return this.client.request(endpoint, payload);
  }

  close() {
    this.ended = true;
    this.client.close();
  }

  changed({ state, error }) {
    if (this.ended) return;
    if (state === "lost" && error.details.closed === REFUSED) {
      this.close();
      this.state("closed", new Unavailable("CLOSED", error.message));
    } else {
      this.ended = state === "closed";
      this.state(state, error);
    }
  }
}
