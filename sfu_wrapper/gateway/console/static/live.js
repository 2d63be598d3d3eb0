// What is live: rooms and recordings as `watch` reports them (protocol.md, "Watching"). Changes are
// collected until the next frame, so that a busy server costs one drawing a frame.

// @ts-ignore: its address is not its place in the folders
import { Client } from "../client/sfu-recording.js";
import { meta } from "./session.js";

/** @typedef {{room: string, uuid: string, [field: string]: any}} Room */

/** Key of a recording: its address. */
export const address = ({ uuid, segment }) => `${uuid}/${segment}`;

export class Live {
  /**
   * @param {import("./session.js").Session} session
   * @param {import("./api.js").Api} api
   * @param {() => void} expired called when the server no longer accepts the token
   */
  constructor(session, api, expired) {
    this.api = api;
    this.expired = expired;
    /** @type {Map<string, Room>} by uuid; a changed room is another object */
    this.rooms = new Map();
    /** @type {Map<string, object>} latest `recordingChanged` by address */
    this.recordings = new Map();
    /** @type {Map<string, number>} by uuid: smaller is younger */
    this.ages = new Map();
    this.newest = 0;
    this.state = "connecting"; // "open", "lost", "closed"
    this.loaded = false; // the rooms are complete
    this.begun = false; // a connection was there before
    this.listeners = new Set();
    this.watchers = new Set();
    this.scheduled = false;
    this.client = new Client(meta("signaling"), { token: session.token, begin: (request) => this.begin(request) });
    this.client.on("event", ({ event, payload }) => this.heard(event, payload));
    this.client.on("state", ({ state, error }) => this.changed(state, error));
  }

  /** Rooms that have not ended, the youngest first. */
  youngestFirst() {
    return [...this.rooms.values()].sort((a, b) => this.ages.get(a.uuid) - this.ages.get(b.uuid));
  }

  /** The room of that id that has not ended, or undefined. */
  find(id, domain) {
    return [...this.rooms.values()].find((room) => room.room === id && room.domain === domain);
  }

  /** Call `listener` once a frame in which something has changed; returns how to end that. */
  onChange(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Call `watcher(event, payload)` with each event as it comes, and with "resumed" once a lost
   * connection is back: read again then. Returns how to end that.
   */
  onEvent(watcher) {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  /** Send a request of protocol.md; the answer's payload, or an error with a `code`. */
  ask(endpoint, payload) {
    return this.client.request(endpoint, payload);
  }

  close() {
    this.client.close();
  }

  /** Begin a connection with the whole state: nothing is kept for a watcher that was away. */
  async begin(request) {
    const answer = await request("watch", { topics: ["rooms", "recordings"] });
    this.fresh = new Set(answer.rooms.map(({ uuid }) => uuid));
    this.rooms = new Map(answer.rooms.map((room) => [room.uuid, room]));
    this.ages = new Map(answer.rooms.map(({ uuid }, index) => [uuid, index]));
    for (const recording of answer.recordings) this.recordings.set(address(recording), recording);
    this.loaded = !answer.next;
    if (answer.next) this.rest(answer.next, this.fresh);
    if (this.begun) this.tell("resumed", null); // what changed meanwhile is in no event
    this.begun = true;
    this.notify();
  }

  /** Read the rooms that the answer of `watch` did not hold; events that came meanwhile are newer. */
  async rest(after, fresh) {
    try {
      while (after && fresh === this.fresh) {
        const page = await this.api.get("/rooms", { after, limit: 200 });
        if (fresh !== this.fresh) return;
        for (const room of page.rooms) {
          this.ages.set(room.uuid, this.ages.size);
          if (!fresh.has(room.uuid)) this.rooms.set(room.uuid, room);
        }
        after = page.next;
        this.notify();
      }
      this.loaded = true;
    } catch {
      if (fresh === this.fresh) setTimeout(() => fresh === this.fresh && this.rest(after, fresh), 5000);
    }
    this.notify();
  }

  heard(event, payload) {
    if (event === "roomChanged") {
      this.fresh?.add(payload.uuid);
      if (payload.gone || payload.state === "ended") {
        this.rooms.delete(payload.uuid);
        this.ages.delete(payload.uuid);
      } else {
        if (!this.ages.has(payload.uuid)) this.ages.set(payload.uuid, (this.newest -= 1));
        this.rooms.set(payload.uuid, payload);
      }
    } else if (event === "recordingChanged") {
      this.recordings.set(address(payload), payload);
      while (this.recordings.size > 2000) this.recordings.delete(this.recordings.keys().next().value);
    }
    this.tell(event, payload);
    this.notify();
  }

  tell(event, payload) {
    for (const watcher of this.watchers) watcher(event, payload);
  }

  changed(state, error) {
    this.state = state;
    if (state === "closed" && error?.code === "UNAUTHENTICATED") this.expired();
    this.notify();
  }

  notify() {
    if (this.scheduled) return;
    this.scheduled = true;
    const tell = () => {
      this.scheduled = false;
      for (const listener of this.listeners) listener();
    };
    // A tab in the background draws no frames.
    if (document.hidden) setTimeout(tell, 250);
    else requestAnimationFrame(tell);
  }
}
