// Types of sfu-recording.js. Times are texts in UTC, ISO 8601. Texts whose values may grow (kinds,
// reasons, states) are `string`, so that an old page reads a newer controller.

/** Codes of docs/reference/errors.md that WebSocket requests are answered with; later versions have more. */
export type RefusalCode =
  | "BAD_REQUEST"
  | "UNKNOWN_ENDPOINT"
  | "UNAUTHENTICATED"
  | "FORBIDDEN"
  | "ROOM_REQUIRED"
  | "ROOM_NOT_FOUND"
  | "ROOM_EXISTS"
  | "ROOM_ENDED"
  | "NOT_IN_ROOM"
  | "PUBLIC_ROOM"
  | "PSTN_ROOM"
  | "NOT_ROOM_OWNER"
  | "NOT_PERMITTED"
  | "NOT_ESTABLISHED"
  | "ALREADY_RECORDING"
  | "NOT_RECORDING"
  | "RECORDING_LIMIT"
  | "MEDIA_FAILED"
  | "RATE_LIMITED"
  | "QUOTA_EXCEEDED"
  | "OVERLOADED"
  | "INTERNAL"
  | "NOT_FOUND"
  | (string & {});

/** Codes of `Unavailable`. */
export type UnavailableCode =
  | "TIMEOUT"
  | "CONNECTION_LOST"
  | "PENDING_LIMIT"
  | "UNREACHABLE"
  | "CLOSED"
  | "PROTOCOL_ERROR";

export class RecordingError extends Error {
  constructor(code: string, message: string, more?: { fatal?: boolean; details?: Record<string, any> });
  readonly code: string;
  /** True: another attempt does not help before something else has changed. */
  fatal: boolean;
  readonly details: Record<string, any>;
  /** Seconds after which another attempt may succeed. */
  readonly retryAfter: number | undefined;
}

/** The controller answered with an error. */
export class RequestRefused extends RecordingError {
  constructor(error: { code: RefusalCode; message: string; details?: Record<string, any> });
  readonly code: RefusalCode;
}

/** There is no answer. */
export class Unavailable extends RecordingError {
  constructor(code: UnavailableCode, message: string, details?: Record<string, any>);
  readonly code: UnavailableCode;
}

export interface Media {
  audio?: boolean;
  video?: boolean;
  screen?: boolean;
}

export interface Participant {
  user: string;
  joinedAt: string;
  media: Required<Media>;
}

/** protocol.md, "The field recording". */
export interface Recording {
  allowed: boolean;
  automatic: boolean;
  type: string;
  source: string | null;
  reason?: string;
  active: boolean;
  segment?: number;
  startedAt?: string;
  begunBy?: string;
  unattended?: boolean;
  resumesAt?: string;
}

export interface Processing {
  state: "processing" | "processed" | "failed" | (string & {});
  stage?: string;
  percent?: number;
  etaSeconds?: number;
}

export interface File {
  name: string;
  kind: "merged" | "poster" | "audio" | "video" | "metadata" | (string & {});
  bytes: number;
}

export interface Failure {
  stage: string;
  code: string;
  message: string;
}

/** protocol.md, "The field segments"; `duration` is in seconds. */
export interface Segment {
  segment: number;
  state: "starting" | "recording" | "stopping" | "stopped" | "failed" | (string & {});
  by: string;
  begunBy?: string;
  startedAt?: string;
  stoppedAt?: string;
  duration?: number;
  reason?: string;
  missing?: string[];
  processing?: Processing;
  files?: File[];
  error?: Failure;
}

export interface RoomState {
  room: string;
  uuid: string;
  kind: "direct" | "meeting" | "public" | (string & {});
  origin: "internal" | "pstn" | (string & {});
  owner: string;
  domain?: string;
  state: "waiting" | "established" | "ended" | (string & {});
  participants: Participant[];
  recording: Recording;
  segments: Segment[];
  earlierSegments?: number;
}

export interface WatchedRecording extends Segment {
  room: string;
  uuid: string;
  owner: string;
  domain: string;
}

export interface Authenticated {
  user: string;
  domain: string;
  roles: string[];
  expiresAt?: string;
}

export interface Watching {
  topics: Topic[];
  rooms?: RoomState[];
  recordings?: WatchedRecording[];
  next?: string;
  more?: boolean;
}

export type Topic = "rooms" | "recordings";

/** Fields of `createRoom`. */
export interface Wish {
  id?: string;
  uuid?: string;
  kind?: "direct" | "meeting" | "public";
  owner?: string;
  domain?: string;
  record?: boolean;
  origin?: "internal" | "pstn";
  confbridgeId?: string;
  invited?: string[];
}

interface About {
  room?: string;
  domain?: string;
}

export interface Joined {
  room: string;
  participants: Participant[];
  state: string;
  recording: Recording;
  /** Where to publish, with a real SFU or mixer. */
  media?: Record<string, unknown>;
}

export interface Checked {
  room: string;
  kind: string;
  state: string;
  recorded: boolean;
}

export interface Started {
  room: string;
  segment: number;
  startedAt: string;
  missing?: string[];
}

export interface Stopped {
  room: string;
  segment: number;
  startedAt: string;
  stoppedAt: string;
  duration: number;
  resumesAt?: string;
}

/** Endpoints: payload and answer (protocol.md, "Endpoints"). */
export interface Endpoints {
  authenticate: [{ token: string }, Authenticated];
  createRoom: [
    Wish,
    { room: string; uuid: string; kind: string; owner: string; record: boolean; confbridgeId: string; recording: Recording },
  ];
  inviteToRoom: [About & { users: string[] }, { room: string; invited: string[] }];
  joinRoom: [About & { user?: string; check?: boolean; media?: Media }, Joined & Partial<Checked>];
  updateMedia: [About & { user?: string; media: Media }, { room: string; media: Required<Media> }];
  leaveRoom: [About & { user?: string }, { room: string }];
  endRoom: [About, { room: string; segments: Segment[] }];
  startRoomRecording: [About, Started];
  stopRoomRecording: [About & { resumeAfterSeconds?: number }, Stopped];
  getRoom: [About, RoomState];
  listRooms: [{ limit?: number; after?: string; state?: string }, { rooms: RoomState[]; next?: string }];
  watch: [{ topics: Topic[] }, Watching];
  unwatch: [{ topics?: Topic[] }, Watching];
  ping: [Record<string, never>, Record<string, never>];
}

/** Every event about a room; `domain` is the room's, for recipients of another one. */
interface InRoom {
  room: string;
  domain?: string;
}

/** Events of the controller (protocol.md, "Events", "Watching"). */
export interface RoomEvents {
  roomRecordingStarted: InRoom & {
    segment: number;
    startedAt: string;
    by: string;
    begunBy?: string;
    type: string;
    missing?: string[];
  };
  roomRecordingChanged: InRoom & { segment: number; missing?: string[]; resumesAt?: string | null };
  roomRecordingStopped: InRoom & {
    segment: number;
    startedAt: string;
    stoppedAt: string;
    duration: number;
    by: string;
    reason: string;
    resumesAt?: string;
  };
  roomRecordingUnattended: InRoom & { segment: number; since: string };
  roomRecordingFailed: InRoom & { segment: number; code: string; message: string; final: boolean };
  roomRecordingProcessed: InRoom & { segment: number; files: File[] };
  roomRecordingProcessingFailed: InRoom & { segment: number; error: Failure };
  participantJoined: InRoom & { user: string; media: Required<Media> };
  participantMedia: InRoom & { user: string; media: Required<Media> };
  participantLeft: InRoom & { user: string };
  roomEstablished: InRoom & { at: string; reason: string };
  roomEnded: InRoom & { at: string; reason: string };
  hangup: InRoom & { user: string };
  roomChanged: RoomState | { room: string; uuid: string; gone: true };
  recordingChanged: WatchedRecording;
}

export type State = "connecting" | "open" | "lost" | "closed";

/** Events of the client itself. */
export interface ClientEvents {
  /** `error`: why it is lost, or why it closed by itself. `retryInMs`: until the next attempt. */
  state: { state: State; error: Error | null; retryInMs: number | null };
  /** Events may have been missed; `watching` is the present state of what is watched. */
  resumed: { watching: Watching | null };
  /** After a lost connection the user could not join this room again. */
  placeLost: { room: string; domain: string | undefined; error: RequestRefused };
  /** Every event of the controller, also those of a later version. */
  event: { event: keyof RoomEvents | (string & {}); payload: any };
}

export interface RequestOptions {
  /** Fail with CONNECTION_LOST where the connection is lost, instead of sending it over the next one. */
  once?: boolean;
  /** For the request and all its repeats; default `answerMs` of the client. */
  timeoutMs?: number;
}

export type Request = <Name extends string>(
  endpoint: Name,
  payload?: Name extends keyof Endpoints ? Endpoints[Name][0] : object,
) => Promise<Name extends keyof Endpoints ? Endpoints[Name][1] : any>;

export interface ClientOptions {
  /** A token, or a function that returns a valid one; called for each connection and before expiry. */
  token: string | (() => string | Promise<string>);
  /** Called at the beginning of each connection, once authenticated; `request` is bound to it. */
  begin?: (request: Request) => Promise<unknown>;
  /** Longest time for a request and all its repeats; default 20000. */
  answerMs?: number;
  /** Send a request again that was refused with OVERLOADED, RATE_LIMITED, INTERNAL; default true. */
  repeats?: boolean;
  /** Longest time without a connection; default: none. */
  giveUpMs?: number;
  /** Pauses between attempts: the first, default 500, doubled up to the longest, default 10000. */
  firstPauseMs?: number;
  longestPauseMs?: number;
  /** Default: the global one; node 20 needs one, such as that of the package `ws`. */
  WebSocket?: new (url: string) => any;
}

/** @param url address of the WebSocket with its path, such as `wss://calls.example/client`. */
export function connect(url: string, options: ClientOptions): Promise<Client>;

export class Client {
  /** Begins to connect; see the state. Raises TypeError where there is no WebSocket. */
  constructor(url: string, options: ClientOptions);
  readonly state: State;
  /** Why the client closed by itself; null until then, and after close(). */
  readonly error: RecordingError | null;
  /** Answer of the latest `authenticate`. */
  readonly user: Authenticated | null;
  /** Resolves at the first connection; rejects if there is going to be none. */
  ready(): Promise<void>;
  on<Name extends keyof (RoomEvents & ClientEvents)>(
    name: Name,
    listener: (detail: (RoomEvents & ClientEvents)[Name]) => void,
  ): () => void;
  request<Name extends string>(
    endpoint: Name,
    payload?: Name extends keyof Endpoints ? Endpoints[Name][0] : object,
    options?: RequestOptions,
  ): Promise<Name extends keyof Endpoints ? Endpoints[Name][1] : any>;
  /** Present another token, of the same user, on this connection and each later one. */
  authenticate(token: string): Promise<Authenticated>;
  createRoom(wish?: Wish): Promise<Room>;
  /** A room that exists; `domain` is its domain, if not the user's own. */
  room(id: string, domain?: string): Room;
  listRooms(filters?: Endpoints["listRooms"][0]): Promise<Endpoints["listRooms"][1]>;
  watch(...topics: Topic[]): Promise<Watching>;
  /** Default: all topics. */
  unwatch(...topics: Topic[]): Promise<Watching>;
  /** Do not wait for the pause before the next attempt. */
  reconnect(): void;
  /** Cut the connection as a lost network does; it is opened again. For tests. */
  drop(): void;
  close(): void;
}

export class Room {
  readonly client: Client;
  readonly id: string;
  readonly domain: string | undefined;
  on<Name extends keyof RoomEvents>(name: Name, listener: (payload: RoomEvents[Name]) => void): () => void;
  isAbout(payload: { room: string; domain?: string }): boolean;
  /** Join; again after each lost connection, until the user leaves. Default: audio and video. */
  join(media?: Media): Promise<Joined>;
  /** What a join would be answered; joins no one. */
  check(): Promise<Checked>;
  updateMedia(media: Media): Promise<{ room: string; media: Required<Media> }>;
  startRecording(): Promise<Started>;
  stopRecording(): Promise<Stopped>;
  /** Stop, and start again after 1 to 3600 seconds. */
  pauseRecording(seconds: number): Promise<Stopped>;
  state(): Promise<RoomState>;
  invite(...users: string[]): Promise<{ room: string; invited: string[] }>;
  leave(): Promise<{ room: string }>;
  end(): Promise<{ room: string; segments: Segment[] }>;
  request<Name extends string>(
    endpoint: Name,
    payload?: Name extends keyof Endpoints ? Endpoints[Name][0] : object,
    options?: RequestOptions,
  ): Promise<Name extends keyof Endpoints ? Endpoints[Name][1] : any>;
}
