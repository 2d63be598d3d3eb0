// Requests and events over one WebSocket that comes back by itself.
// docs/how-to/reconnecting.md explains the rules.

const FIRST_MS = 500;
const LONGEST_MS = 10_000;
// These mean: not carried out, send the same request again.
const AGAIN = ["OVERLOADED", "RATE_LIMITED", "UNAUTHENTICATED", "INTERNAL"];

export class RequestError extends Error {
  /** @param {{code: string, message: string, details?: any}} error */
  constructor(error) {
    super(error.message);
    this.code = error.code;
    this.details = error.details ?? {};
  }
}

export class Client extends EventTarget {
  /**
   * Events that it dispatches: "state" (detail: the answer of getRoom, after each connection),
   * "event" (detail: {event, payload}), "lost", "refused" (detail: an error; it does not try on).
   *
   * @param {string} url address of the controller, without a path
   * @param {() => Promise<string>} token called for each connection, since tokens expire
   * @param {string} room the room to be in
   */
  constructor(url, token, room) {
    super();
    this.url = `${url}/client`;
    this.token = token;
    this.room = room;
    this.user = "";
    this.open = new Map(); // requests without an answer: they are sent again, with the same id
    this.attached = false; // authenticated, and in the room
    this.pause = FIRST_MS;
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(this.url);
    this.socket.onopen = () => this.attach().catch((error) => this.refuse(error));
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.socket.onclose = () => this.lose();
  }

  /** Authenticate, take the place in the room again, read the state, repeat open requests. */
  async attach() {
    const me = await this.send("authenticate", { token: await this.token() }, true);
    this.user = me.user;
    let state = await this.send("getRoom", { room: this.room }, true).catch(() => null);
    if (!state?.participants.some(({ user }) => user === this.user)) {
      // The first time, or the grace (rooms.reconnectGraceSeconds) is over.
      await this.send("joinRoom", { room: this.room }, true);
      state = await this.send("getRoom", { room: this.room }, true);
    }
    this.attached = true;
    this.pause = FIRST_MS;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
    for (const { text } of this.open.values()) this.socket.send(text);
  }

  /** Send a request that survives lost connections; resolves with the payload of its answer. */
  request(endpoint, payload = {}) {
    return this.send(endpoint, payload, false);
  }

  /** @param {boolean} once true for what belongs to this connection alone */
  send(endpoint, payload, once) {
    const id = crypto.randomUUID();
    const text = JSON.stringify({ type: "request", payload: { endpoint, payload, id } });
    return new Promise((resolve, reject) => {
      this.open.set(id, { text, resolve, reject, once });
      if (once || this.attached) this.socket.send(text);
    });
  }

  take({ type, payload: body }) {
    if (type === "event") {
      this.dispatchEvent(new CustomEvent("event", { detail: body }));
      return;
    }
    const request = this.open.get(body.id);
    if (!request) return;
    if (body.status === "error" && !request.once && AGAIN.includes(body.error.code)) {
      const wait = (body.error.details?.retryAfter ?? 1) * 1000;
      setTimeout(() => this.attached && this.socket.send(request.text), wait);
      return;
    }
    this.open.delete(body.id);
    if (body.status === "ok") request.resolve(body.payload);
    else request.reject(new RequestError(body.error));
  }

  lose() {
    this.attached = false;
    for (const [id, request] of this.open) {
      if (!request.once) continue;
      this.open.delete(id);
      request.reject(new Error("the connection is lost"));
    }
    if (this.ended) return;
    this.dispatchEvent(new Event("lost"));
    // A different pause for each client, so that they do not all come back at once.
    setTimeout(() => this.connect(), this.pause * (0.5 + Math.random() / 2));
    this.pause = Math.min(this.pause * 2, LONGEST_MS);
  }

  /** An answer that another attempt would get too ends the client; anything else is tried again. */
  refuse(error) {
    if (error instanceof RequestError && !AGAIN.includes(error.code)) {
      this.ended = true;
      this.dispatchEvent(new CustomEvent("refused", { detail: error }));
    }
    this.socket.close();
  }
}
