// One WebSocket that stays: requests in, answers and events out, over as many connections as it
// takes. A request keeps its id over a reconnection, so that the server carries it out once.

const PATIENCE_MS = 15000;
const WAITS_MS = [300, 1000, 2000, 4000, 5000];
const EXPIRED = "token expired"; // the reason of 1008 a minute after that
const REFUSED = 1008; // closed for what was asked, or for who asked: asking again cannot help
const FINAL = new Set(["UNAUTHENTICATED", "FORBIDDEN", "ROOM_NOT_FOUND", "ROOM_ENDED", "BAD_REQUEST", "UNKNOWN_ENDPOINT"]);

export class Refusal extends Error {
  constructor(code, message, details) {
    super(message);
    this.code = code;
    this.details = details ?? {};
  }
}

export class Socket {
  // open: asks what each new connection begins with; heard: (event, payload); state: "open",
  // "lost" (it is being opened again) or "closed" (it is not; with the error).
  constructor(url, { open, heard, state }) {
    this.url = url;
    this.open = open;
    this.heard = heard;
    this.state = state;
    this.waiting = new Map();
    this.attempt = 0;
    this.ended = false;
    this.connect();
  }

  // Ask; once it is answered. early: also before the connection's own beginning is through.
  ask(endpoint, payload = {}, { early = false } = {}) {
    return new Promise((resolve, reject) => {
      if (this.ended) {
        reject(new Refusal("CLOSED", "the connection is closed"));
        return;
      }
      const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
      const frame = JSON.stringify({ type: "request", payload: { endpoint, payload, id } });
      const timer = setTimeout(() => this.settle(id, new Refusal("TIMEOUT", "no answer")), PATIENCE_MS);
      this.waiting.set(id, { resolve, reject, frame, timer, early });
      if (this.ready || (early && this.ws?.readyState === WebSocket.OPEN)) this.ws.send(frame);
    });
  }

  close() {
    this.ended = true;
    clearTimeout(this.again);
    this.ws?.close(1000);
    this.refuseAll();
  }

  connect() {
    const ws = (this.ws = new WebSocket(this.url));
    this.ready = false;
    ws.onopen = () => this.begin(ws);
    ws.onmessage = ({ data }) => ws === this.ws && this.take(JSON.parse(data));
    ws.onclose = ({ code, reason }) => ws === this.ws && this.lost(code, reason);
  }

  async begin(ws) {
    try {
      await this.open();
    } catch (error) {
      if (ws !== this.ws || this.ended) return;
      if (FINAL.has(error.code)) this.end(error);
      else ws.close(1000);
      return;
    }
    if (ws !== this.ws || this.ended) return;
    this.attempt = 0;
    this.ready = true;
    for (const { frame, early } of this.waiting.values()) if (!early) ws.send(frame);
    this.state("open");
  }

  take({ type, payload }) {
    if (type === "event") this.heard(payload.event, payload.payload);
    else if (payload.status === "ok") this.settle(payload.id, null, payload.payload);
    else this.settle(payload.id, new Refusal(payload.error.code, payload.error.message, payload.error.details));
  }

  settle(id, error, answer) {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    this.waiting.delete(id);
    clearTimeout(waiting.timer);
    if (error) waiting.reject(error);
    else waiting.resolve(answer);
  }

  lost(code, reason) {
    this.ready = false;
    for (const [id, { early }] of this.waiting) {
      if (early) this.settle(id, new Refusal("CLOSED", "the connection was lost"));
    }
    if (this.ended) return;
    if (code === REFUSED) {
      // A user with another token may connect again.
      this.end(new Refusal(reason === EXPIRED ? "UNAUTHENTICATED" : "CLOSED", reason));
      return;
    }
    const wait = WAITS_MS[Math.min(this.attempt++, WAITS_MS.length - 1)];
    this.again = setTimeout(() => this.connect(), wait * (0.75 + Math.random() / 2));
    this.state("lost");
  }

  end(error) {
    this.close();
    this.state("closed", error);
  }

  refuseAll() {
    for (const id of [...this.waiting.keys()]) {
      this.settle(id, new Refusal("CLOSED", "the connection is closed"));
    }
  }
}
