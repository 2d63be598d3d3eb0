/**
 * Client of the WebSocket protocol (docs/reference/protocol.md) for browsers and node.
 *
 * `Client` keeps one connection of one user. After each loss it connects again, takes its places in
 * rooms again, watches again, and sends the requests without a response again with the same ids, so
 * that the controller carries each out once. docs/reference/sfu-recording.md describes the interface;
 * sfu-recording.d.ts has its types. The Python client of docs/reference/client.md works alike.
 *
 *     connecting ──> open <──> lost          each state may become closed: by close(), or because
 *                                            another attempt would not help
 */

const ANSWER_MS = 20_000; // the controller answers within media.timeoutSeconds and a commit
const OPEN_MS = 10_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const STABLE_MS = 10_000; // a connection that lasted so long starts the pauses over
const AGAIN_MS = 1_000; // before a request is sent again, where the answer names no time
const MAX_PENDING = 1_024;
const IDLE_MS = 25_000; // the controller answers pings; browsers show no others to a page
const CHECK_MS = 10_000;
const RENEW_MS = 30_000; // before a token expires
const LONGEST_TIMER_MS = 2 ** 31 - 1;

// Not carried out and not kept: the same request may succeed a little later.
const AGAIN = new Set(["OVERLOADED", "RATE_LIMITED", "INTERNAL"]);
const LATER = new Set([...AGAIN, "QUOTA_EXCEEDED"]);
const OUR_FAULT = new Set([1003, 1007, 1009]);
const POLICY = 1008;
const EXPIRED = "token expired"; // reason of 1008, a minute after the token expired

/** Base of what requests fail with, and of the reason of the state "closed". */
export class RecordingError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{fatal?: boolean, details?: Record<string, any>}} [more]
   */
  constructor(code, message, { fatal = true, details = {} } = {}) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.fatal = fatal;
    this.details = details;
    /** @type {number | undefined} */
    this.retryAfter = typeof details.retryAfter === "number" ? details.retryAfter : undefined;
  }
}

/** The controller answered with an error. */
export class RequestRefused extends RecordingError {
  /** @param {{code: string, message: string, details?: Record<string, any>}} error */
  constructor({ code, message, details }) {
    super(code, message, { fatal: !LATER.has(code), details });
  }
}

/** There is no answer: it did not come in time, or there is no connection. */
export class Unavailable extends RecordingError {
  /** @param {string} code @param {string} message @param {Record<string, any>} [details] */
  constructor(code, message, details = {}) {
    super(code, message, { details, fatal: code === "CLOSED" || code === "PROTOCOL_ERROR" });
  }
}

/** Connect, and wait for the first connection. */
export async function connect(url, options) {
  const client = new Client(url, options);
  await client.ready();
  return client;
}

export class Client {
  #url;
  #token;
  #begin;
  #answerMs;
  #repeats;
  #giveUpMs;
  #firstPauseMs;
  #longestPauseMs;
  #WebSocket;
  #listeners = new Map(); // name -> set of listeners
  #pending = new Map(); // id -> request without a response
  #places = new Map(); // room and domain -> payload of the joinRoom by which we are there
  #topics = []; // what is watched
  #prefix = crypto.getRandomValues(new Uint32Array(4)).join("-"); // differs from every other run
  #count = 0;
  #link = null; // the present connection
  #wasOpen = false;
  #failures = 0; // consecutive, for the pauses
  #lostAt = performance.now();
  #retry = null;
  #renewal = null;
  #renewing = null;
  #late = false; // events were not sent meanwhile
  #state = "connecting";
  #error = null;
  #ready = withResolvers();
  #user = null;
  #online = () => this.reconnect();

  constructor(url, options) {
    this.#url = url;
    this.#token = options.token;
    this.#begin = options.begin ?? (async () => {});
    this.#answerMs = options.answerMs ?? ANSWER_MS;
    this.#repeats = options.repeats ?? true;
    this.#giveUpMs = options.giveUpMs ?? Infinity;
    this.#firstPauseMs = options.firstPauseMs ?? FIRST_PAUSE_MS;
    this.#longestPauseMs = options.longestPauseMs ?? LONGEST_PAUSE_MS;
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!this.#WebSocket) throw new TypeError("no WebSocket here: pass options.WebSocket");
    this.#ready.promise.catch(() => {}); // a program may use the state instead
    globalThis.addEventListener?.("online", this.#online);
    this.#connect();
  }

  /** "connecting", "open", "lost" or "closed". */
  get state() {
    return this.#state;
  }

  /** Reason for which the client closed by itself; null before that, and after close(). */
  get error() {
    return this.#error?.code === "CLOSED" ? null : this.#error;
  }

  /** Answer of the latest `authenticate`; null before the first. */
  get user() {
    return this.#user;
  }

  /** Wait for the first connection. */
  ready() {
    return this.#ready.promise;
  }

  /** Call `listener` at each event of this name; returns a function that ends it. */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    const own = (detail) => listener(detail); // the same listener may be added twice
    listeners.add(own);
    return () => {
      listeners.delete(own);
    };
  }

  /** Send a request; returns the payload of its response, over any number of connections. */
  request(endpoint, payload = {}, { once = false, timeoutMs = this.#answerMs } = {}) {
    if (once && !this.#link?.ready) return Promise.reject(this.#error ?? lost());
    return this.#send(endpoint, payload, { link: once ? this.#link : null, timeoutMs });
  }

  /** Present another token on this connection and on each later one. */
  async authenticate(token) {
    const user = await this.request("authenticate", { token });
    this.#token = token;
    this.#authenticated(user);
    return user;
  }

  /** Create a room; `wish` has the fields of `createRoom`. */
  async createRoom(wish = {}) {
    const { room } = await this.request("createRoom", wish);
    return new Room(this, room, wish.domain);
  }

  /** Return a room that exists; `domain` is its domain, if not the user's own. */
  room(id, domain) {
    return new Room(this, id, domain);
  }

  listRooms(filters = {}) {
    return this.request("listRooms", filters);
  }

  /** Watch topics; returns their present state. Changes come as events, also after a lost connection. */
  async watch(...topics) {
    const watching = await this.request("watch", { topics });
    this.#topics = watching.topics;
    return watching;
  }

  async unwatch(...topics) {
    const watching = await this.request("unwatch", topics.length ? { topics } : {});
    this.#topics = watching.topics;
    return watching;
  }

  /** Do not wait for the pause before the next attempt. */
  reconnect() {
    if (this.#retry === null) return;
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#connect();
  }

  /** Cut the connection as a lost network does; it is opened again. For tests. */
  drop() {
    if (this.#link) this.#lose(this.#link, 1006, "dropped");
  }

  close() {
    this.#end(new Unavailable("CLOSED", "the client is closed"));
  }

  // For Room:

  placeTaken(room, payload) {
    this.#places.set(room.key, { room, payload });
  }

  placeLeft(room) {
    this.#places.delete(room.key);
  }

  // Connections

  async #connect() {
    try {
      const token = await this.#takeToken();
      if (this.#error) return;
      this.#open(token);
    } catch (error) {
      if (this.#error) return;
      if (error instanceof RecordingError && error.fatal) this.#end(error);
      else this.#pause(error);
    }
  }

  /** Return a valid token. The program's function has as long as a request. */
  async #takeToken() {
    if (typeof this.#token !== "function") return this.#token;
    const late = withResolvers();
    const timer = setTimeout(() => late.reject(timeout("a token")), this.#answerMs);
    try {
      return await Promise.race([this.#token(), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #open(token) {
    let ws;
    try {
      ws = new this.#WebSocket(this.#url);
    } catch (error) {
      throw new Unavailable("PROTOCOL_ERROR", `cannot connect to ${this.#url}: ${error.message}`);
    }
    const link = { ws, ready: false, openedAt: 0, heardAt: 0, pingedAt: 0, opening: null, checks: null };
    this.#link = link;
    link.opening = setTimeout(() => this.#lose(link, 1006, "no connection in time"), OPEN_MS);
    ws.onopen = () => this.#start(link, token);
    ws.onmessage = ({ data }) => link === this.#link && this.#receive(link, data);
    ws.onclose = ({ code, reason }) => this.#lose(link, code, reason);
    ws.onerror = () => {}; // onclose follows
  }

  /** Begin a connection: who we are, places, watches; then requests without a response. */
  async #start(link, token) {
    if (link !== this.#link) return;
    clearTimeout(link.opening);
    link.heardAt = performance.now();
    link.checks = setInterval(() => this.#check(link), CHECK_MS);
    let watching = null;
    try {
      this.#authenticated(await this.#bound(link, "authenticate", { token }));
      await this.#begin((endpoint, payload = {}) => this.#bound(link, endpoint, payload));
      if (this.#wasOpen) watching = await this.#restore(link);
    } catch (error) {
      if (link !== this.#link) return;
      if (error instanceof RecordingError && error.fatal) this.#end(error);
      else this.#lose(link, 1006, error.message);
      return;
    }
    if (link !== this.#link) return;
    link.ready = true;
    link.openedAt = performance.now();
    for (const pending of this.#pending.values()) this.#post(pending);
    const resumed = this.#wasOpen;
    this.#wasOpen = true;
    this.#changed("open", {});
    this.#ready.resolve();
    if (resumed) this.#emit("resumed", { watching });
  }

  async #restore(link) {
    for (const { room, payload } of [...this.#places.values()]) {
      try {
        await this.#bound(link, "joinRoom", payload);
      } catch (error) {
        if (!(error instanceof RequestRefused)) throw error;
        this.placeLeft(room);
        this.#emit("placeLost", { room: room.id, domain: room.domain, error });
      }
    }
    return this.#topics.length ? await this.#bound(link, "watch", { topics: this.#topics }) : null;
  }

  #lose(link, code, reason) {
    if (link !== this.#link) return;
    this.#release(link);
    for (const pending of [...this.#pending.values()]) {
      if (pending.link === link) this.#settle(pending, lost());
    }
    if (link.ready && performance.now() - link.openedAt >= STABLE_MS) this.#failures = 0;
    if (link.ready) this.#lostAt = performance.now();
    if (OUR_FAULT.has(code)) {
      this.#end(new Unavailable("PROTOCOL_ERROR", `closed with ${code}: ${reason}`));
    } else if (code === POLICY && reason === EXPIRED && typeof this.#token !== "function") {
      this.#end(new RequestRefused({ code: "UNAUTHENTICATED", message: reason }));
    } else {
      this.#pause(new Unavailable("CONNECTION_LOST", reason || `closed with ${code}`, { closed: code }));
    }
  }

  /** Wait before the next attempt: longer each time, and differently in each client. */
  #pause(error) {
    if (performance.now() - this.#lostAt > this.#giveUpMs) {
      this.#end(new Unavailable("UNREACHABLE", `no connection to ${this.#url}: ${error.message}`));
      return;
    }
    const whole = Math.min(this.#firstPauseMs * 2 ** Math.min(this.#failures++, 32), this.#longestPauseMs);
    const retryInMs = whole * (1 - Math.random() / 2);
    this.#retry = setTimeout(() => this.reconnect(), retryInMs);
    this.#changed("lost", { error, retryInMs });
  }

  #release(link) {
    this.#link = null;
    clearTimeout(link.opening);
    clearInterval(link.checks);
    link.ws.onopen = link.ws.onmessage = link.ws.onclose = null;
    link.ws.close(); // it may take a minute over a dead network: nobody waits for it
  }

  #end(error) {
    if (this.#error) return;
    this.#error = error;
    globalThis.removeEventListener?.("online", this.#online);
    clearTimeout(this.#retry);
    clearTimeout(this.#renewal);
    this.#retry = null;
    if (this.#link) this.#release(this.#link);
    for (const pending of [...this.#pending.values()]) this.#settle(pending, error);
    this.#ready.reject(error);
    this.#changed("closed", { error: this.error });
  }

  /** Ping a silent connection; one that stays silent is dead, whatever the browser believes. */
  #check(link) {
    const now = performance.now();
    if (link.pingedAt && now - link.pingedAt >= CHECK_MS - 100) {
      this.#lose(link, 1006, "the connection is silent");
    } else if (!link.pingedAt && now - link.heardAt >= IDLE_MS) {
      link.pingedAt = now;
      link.ws.send(frame("ping", {}, this.#id()));
    }
  }

  // Tokens

  #authenticated(user) {
    this.#user = user;
    clearTimeout(this.#renewal);
    if (typeof this.#token !== "function" || !user.expiresAt) return;
    // A clock ahead of the server's gives no such time: then the answer UNAUTHENTICATED renews.
    const leftMs = Date.parse(user.expiresAt) - Date.now() - RENEW_MS;
    if (leftMs > 0) {
      const renew = () => this.#renew(this.#link, false).catch(() => {});
      this.#renewal = setTimeout(renew, Math.min(leftMs, LONGEST_TIMER_MS));
    }
  }

  /** Present another token; once for all requests that need it. late: the one before has expired. */
  #renew(link, late) {
    this.#late ||= late; // also of a renewal that has begun before the token expired
    this.#renewing ??= (async () => {
      try {
        if (!link?.ready) throw lost();
        const token = await this.#takeToken();
        this.#authenticated(await this.#bound(link, "authenticate", { token }));
        if (!this.#late) return;
        const watching = this.#topics.length ? await this.#bound(link, "watch", { topics: this.#topics }) : null;
        this.#emit("resumed", { watching }); // events of the time between were not sent
      } finally {
        this.#renewing = null;
        this.#late = false;
      }
    })();
    return this.#renewing;
  }

  // Requests

  /** Send a request that belongs to this connection, and ends with it. */
  #bound(link, endpoint, payload) {
    return this.#send(endpoint, payload, { link, timeoutMs: this.#answerMs });
  }

  /** link: the only connection to use; null: the present one, and each later one. */
  #send(endpoint, payload, { link, timeoutMs }) {
    return new Promise((resolve, reject) => {
      if (this.#error) throw this.#error;
      if (link && link !== this.#link) throw lost();
      if (this.#pending.size >= MAX_PENDING) {
        throw new Unavailable("PENDING_LIMIT", `${MAX_PENDING} requests are without a response`);
      }
      const id = this.#id();
      const text = frame(endpoint, payload, id);
      const pending = { id, endpoint, text, link, resolve, reject, refused: null, timer: null, again: null };
      pending.timer = setTimeout(() => this.#settle(pending, pending.refused ?? timeout(endpoint)), timeoutMs);
      this.#pending.set(id, pending);
      if (link || this.#link?.ready) this.#post(pending);
    });
  }

  #id() {
    return `${this.#prefix}-${++this.#count}`;
  }

  #post(pending) {
    clearTimeout(pending.again);
    const link = pending.link ?? this.#link;
    // A socket that is closing takes nothing; its onclose follows.
    if (this.#pending.has(pending.id) && link && link === this.#link) link.ws.send(pending.text);
  }

  #settle(pending, error, answer) {
    if (!this.#pending.delete(pending.id)) return;
    clearTimeout(pending.timer);
    clearTimeout(pending.again);
    if (error) pending.reject(error);
    else pending.resolve(answer);
  }

  #receive(link, data) {
    link.heardAt = performance.now();
    link.pingedAt = 0;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      this.#end(new Unavailable("PROTOCOL_ERROR", "the controller sent something that is no JSON"));
      return;
    }
    const { type, payload } = message;
    if (type === "response") this.#answered(link, payload);
    else if (type === "event") this.#happened(payload.event, payload.payload);
  }

  #answered(link, { id, status, payload, error }) {
    const pending = this.#pending.get(id);
    if (!pending) return;
    if (status === "ok") {
      this.#settle(pending, null, payload ?? {});
      return;
    }
    const refused = new RequestRefused(error);
    pending.refused = refused;
    const renewable = error.code === "UNAUTHENTICATED" && typeof this.#token === "function" && !pending.link;
    if (!this.#repeats || !(renewable || AGAIN.has(error.code))) {
      this.#settle(pending, refused);
    } else if (renewable) {
      this.#renew(link, true).then(
        () => this.#post(pending),
        (why) => why.fatal && this.#settle(pending, why),
      );
    } else {
      const waitMs = refused.retryAfter === undefined ? AGAIN_MS : refused.retryAfter * 1000;
      pending.again = setTimeout(() => (pending.link || this.#link?.ready) && this.#post(pending), waitMs);
    }
  }

  // Events

  #happened(event, payload) {
    if (event === "roomEnded" || (event === "participantLeft" && this.#isMe(payload))) {
      // Not to be joined again after a lost connection.
      for (const { room } of [...this.#places.values()]) if (room.isAbout(payload)) this.placeLeft(room);
    }
    this.#emit(event, payload);
    this.#emit("event", { event, payload });
  }

  /** A user of another domain than the room's is shown as DOMAIN/USER. */
  #isMe({ user, domain }) {
    const { user: me, domain: home } = this.#user;
    return user === (domain === undefined || domain === home ? me : `${home}/${me}`);
  }

  #changed(state, { error = null, retryInMs = null }) {
    this.#state = state;
    this.#emit("state", { state, error, retryInMs });
  }

  #emit(name, detail) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        // A fault of the program: it is reported as any other, and ends nothing here.
        setTimeout(() => {
          throw error;
        });
      }
    }
  }
}

/** A room as one of its users handles it. */
export class Room {
  constructor(client, id, domain) {
    this.client = client;
    this.id = id;
    this.domain = domain;
  }

  get key() {
    return `${this.domain ?? ""}/${this.id}`;
  }

  /** Call `listener` at each event of this name about this room; returns a function that ends it. */
  on(name, listener) {
    return this.client.on(name, (payload) => this.isAbout(payload) && listener(payload));
  }

  /** Return true if an event or an answer is about this room. */
  isAbout({ room, domain }) {
    const home = this.client.user?.domain;
    return room === this.id && (domain ?? home) === (this.domain ?? home);
  }

  /** Join with these media; again after each lost connection, until the user leaves. */
  async join(media = { audio: true, video: true }) {
    const joined = await this.request("joinRoom", { media });
    this.client.placeTaken(this, this.#about({ media }));
    return joined;
  }

  /** Return what a join would be answered; joins no one. */
  check() {
    return this.request("joinRoom", { check: true });
  }

  /** Publish exactly these media from now on. */
  async updateMedia(media) {
    const updated = await this.request("updateMedia", { media });
    this.client.placeTaken(this, this.#about({ media }));
    return updated;
  }

  startRecording() {
    return this.request("startRoomRecording");
  }

  stopRecording() {
    return this.request("stopRoomRecording");
  }

  /** Stop, and start again after 1 to 3600 seconds. */
  pauseRecording(seconds) {
    return this.request("stopRoomRecording", { resumeAfterSeconds: seconds });
  }

  /** Return participants, recording and segments. */
  state() {
    return this.request("getRoom");
  }

  invite(...users) {
    return this.request("inviteToRoom", { users });
  }

  leave() {
    this.client.placeLeft(this);
    return this.request("leaveRoom");
  }

  /** End the call for all participants. */
  end() {
    this.client.placeLeft(this);
    return this.request("endRoom");
  }

  /** Send any request about this room. */
  request(endpoint, payload = {}, options = {}) {
    return this.client.request(endpoint, this.#about(payload), options);
  }

  #about(payload) {
    return { room: this.id, ...(this.domain !== undefined && { domain: this.domain }), ...payload };
  }
}

const frame = (endpoint, payload, id) => JSON.stringify({ type: "request", payload: { endpoint, payload, id } });
const lost = () => new Unavailable("CONNECTION_LOST", "the connection was lost");
const timeout = (what) => new Unavailable("TIMEOUT", `no response to ${what} in time`);

/** Promise.withResolvers, which node 20 does not have. */
function withResolvers() {
  /** @type {any} */
  let resolve;
  /** @type {any} */
  let reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
