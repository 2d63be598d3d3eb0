// HTTP requests of the console, with its token. Answers are JSON, errors are ApiError.

const PATIENCE_MS = 35000; // the server ends a request after 30 s

export class ApiError extends Error {
  /**
   * @param {number} status 0: no answer
   * @param {string} code as in errors.md; TIMEOUT and CLOSED are our own
   * @param {string} message
   * @param {Record<string, unknown>} details
   */
  constructor(status, code, message, details = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

export class Api {
  /**
   * @param {string} token
   * @param {() => void} expired called when the server no longer accepts the token
   */
  constructor(token, expired) {
    this.token = token;
    this.expired = expired;
  }

  /** @param {string} path @param {Record<string, string | number | undefined>} query @param {{headers?: object, signal?: AbortSignal}} options */
  get(path, query = {}, options = {}) {
    return this.request("GET", path, { query, ...options });
  }

  /** @param {string} path @param {unknown} body @param {{query?: object, headers?: object}} options */
  put(path, body, options = {}) {
    return this.request("PUT", path, { body, ...options });
  }

  /** @param {string} path @param {unknown} body @param {{query?: object, headers?: object, signal?: AbortSignal}} options */
  post(path, body = undefined, options = {}) {
    return this.request("POST", path, { body, ...options });
  }

  /** @param {string} path @param {{query?: object, headers?: object}} options */
  delete(path, options = {}) {
    return this.request("DELETE", path, options);
  }

  /**
   * Return a resource that may be absent, and the tag of its version.
   * @param {string} path @param {AbortSignal} signal
   * @returns {Promise<{body: any, etag: string | null}>} body null: there is none
   */
  async read(path, signal) {
    try {
      const response = await this.fetch("GET", path, { signal });
      return { body: await response.json(), etag: response.headers.get("etag") };
    } catch (error) {
      if (error.status === 404) return { body: null, etag: null };
      throw error;
    }
  }

  /** Return the health of the controller, which is one also where it is unavailable. */
  async health(signal) {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
    const response = await fetch("health/ready", { signal: limit, cache: "no-store" });
    return response.json();
  }

  /**
   * Return the answer: JSON, text of another type, or null without a body.
   * @param {string} method
   * @param {string} path segments that are ids are encoded by `segment`
   * @param {{query?: object, body?: unknown, headers?: object, signal?: AbortSignal}} options
   */
  async request(method, path, { query = {}, body, headers = {}, signal } = {}) {
    const response = await this.fetch(method, path, { query, body, headers, signal });
    if (response.status === 204) return null;
    return response.headers.get("content-type")?.startsWith("application/json") ? response.json() : response.text();
  }

  /**
   * Return the response itself, once its head is there and says success.
   * @param {string} method
   * @param {string} path
   * @param {{query?: object, body?: unknown, headers?: object, signal?: AbortSignal}} options
   */
  async fetch(method, path, { query = {}, body, headers = {}, signal } = {}) {
    const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== ""));
    const address = parameters.size ? `${path}?${parameters}` : path;
    const sent = body === undefined ? {} : { "Content-Type": "application/json" };
    const limit = AbortSignal.timeout(PATIENCE_MS);
    let response;
    try {
      response = await fetch(address, {
        method,
        headers: { Authorization: `Bearer ${this.token}`, ...sent, ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
        cache: "no-store",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(0, limit.aborted ? "TIMEOUT" : "CLOSED", String(error));
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    if (response.status === 401) this.expired();
    throw new ApiError(response.status, problem.code ?? "INTERNAL", problem.detail ?? response.statusText, problem.details);
  }
}

/** Encode an id for a path; the server has one form of each address (http.md). */
export const segment = (/** @type {string} */ id) => encodeURIComponent(id).replaceAll("%40", "@").replaceAll("%3A", ":").replaceAll("%2B", "+");
