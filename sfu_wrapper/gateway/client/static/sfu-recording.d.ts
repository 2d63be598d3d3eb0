/** Types of sfu-recording.js; docs/reference/sfu-recording.md describes them. */

export type State = "connecting" | "open" | "lost" | "closed";
export type Payload = Record<string, any>;
export type Stop = () => void;

/** Base of what requests fail with, and of the reason of the state "closed". */
export class RecordingError extends Error {
  constructor(code: string, message: string, more?: { fatal?: boolean; details?: Payload });
  /** Code of errors.md, or one of ours: TIMEOUT, CONNECTION_LOST, CLOSED, PENDING_LIMIT, UNREACHABLE, PROTOCOL_ERROR. */
  readonly code: string;
  /** False where the same request may succeed a little later. */
  readonly fatal: boolean;
  readonly details: Payload;
  /** Seconds after which to try again, where the controller says so. */
  readonly retryAfter?: number;
}
/** The controller answered with an error. */
export class RequestRefused extends RecordingError {
  constructor(error: { code: string; message: string; details?: Payload });
}
/** There is no answer: it did not come in time, or there is no connection. */
export class Unavailable extends RecordingError {
  constructor(code: string, message: string, details?: Payload);
}

export interface Options {
  /** A token, or a function that returns one when it is needed. */
  token: string | (() => string | Promise<string>);
  /** Called with each new connection, before other requests; its requests end with that connection. */
  begin?: (request: (endpoint: string, payload?: Payload) => Promise<any>) => Promise<void>;
  /** Time for an answer, ms (20,000). */
  answerMs?: number;
  /** Send again what was refused for a moment only (true). */
  repeats?: boolean;
  /** Close after so long without a connection, ms (never). */
  giveUpMs?: number;
  /** Pauses between attempts, ms (500, doubled up to 10,000, each shortened at random). */
  firstPauseMs?: number;
  longestPauseMs?: number;
  /** Where it is not global. */
  WebSocket?: any;
}

export interface RequestOptions {
  /** Only on the present connection; fails when that is lost. */
  once?: boolean;
  timeoutMs?: number;
}

/** Connect, and wait for the first connection. */
export function connect(url: string, options: Options): Promise<Client>;

export class Client {
  constructor(url: string, options: Options);
  readonly state: State;
  readonly error: RecordingError | null;
  readonly user: Payload | null;
  ready(): Promise<void>;
  on(name: "state", listener: (change: { state: State; error: RecordingError | null; retryInMs: number | null }) => void): Stop;
  on(name: "event", listener: (happened: { event: string; payload: Payload }) => void): Stop;
  on(name: "resumed", listener: (resumed: { watching: Payload | null }) => void): Stop;
  on(name: "placeLost", listener: (place: { room: string; domain?: string; error: RecordingError }) => void): Stop;
  on(name: string, listener: (payload: any) => void): Stop;
  request(endpoint: string, payload?: Payload, options?: RequestOptions): Promise<any>;
  authenticate(token: string): Promise<Payload>;
  createRoom(wish?: Payload): Promise<Room>;
  room(id: string, domain?: string): Room;
  listRooms(filters?: Payload): Promise<any>;
  watch(...topics: string[]): Promise<any>;
  unwatch(...topics: string[]): Promise<any>;
  reconnect(): void;
  drop(): void;
  close(): void;
}

export interface Media {
  audio?: boolean;
  video?: boolean;
  screen?: boolean;
}

export class Room {
  readonly client: Client;
  readonly id: string;
  readonly domain?: string;
  on(name: string, listener: (payload: any) => void): Stop;
  isAbout(payload: Payload): boolean;
  join(media?: Media): Promise<any>;
  check(): Promise<any>;
  updateMedia(media: Media): Promise<any>;
  startRecording(): Promise<any>;
  stopRecording(): Promise<any>;
  pauseRecording(seconds: number): Promise<any>;
  state(): Promise<any>;
  invite(...users: string[]): Promise<any>;
  leave(): Promise<any>;
  end(): Promise<any>;
  request(endpoint: string, payload?: Payload, options?: RequestOptions): Promise<any>;
}
