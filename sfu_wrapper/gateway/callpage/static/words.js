// Everything that is said to a person, in one place.

const REFUSED = {
  UNAUTHENTICATED: "Your pass is not valid (any more). Open your link again, or paste a new token.",
  FORBIDDEN: "You are not invited to this call.",
  ROOM_NOT_FOUND: "Nobody has started it yet, it was long ago, or you are not invited.",
  ROOM_ENDED: "It has ended.",
  NOT_IN_ROOM: "You are not in the call any more.",
  PUBLIC_ROOM: "Public rooms are never recorded.",
  PSTN_ROOM: "Recording of calls from the telephone network is up to the system.",
  NOT_ROOM_OWNER: "Only the owner of the call can record it.",
  NOT_PERMITTED: "The owner's permissions do not allow recording.",
  NOT_ESTABLISHED: "It can be recorded once somebody else has joined.",
  ALREADY_RECORDING: "It is being recorded already.",
  NOT_RECORDING: "Nothing is being recorded.",
  RECORDING_LIMIT: "It has been recorded for as long as the operator allows.",
  MEDIA_FAILED: "The recorder did not answer as it should. Try again in a moment.",
  RATE_LIMITED: "That was a bit fast. Try again in a moment.",
  OVERLOADED: "The server is busy. Try again in a moment.",
  INTERNAL: "Something went wrong on the server.",
  BAD_REQUEST: "The server did not accept that.",
  TIMEOUT: "The server did not answer. Try again.",
  CLOSED: "There is no connection. Try again.",
};

const NO_GRANT = {
  NO_PERMISSION: "you have no permission to record",
  PROFILE: "your recording permission does not allow it",
  TYPE_NONE: "your recording permission leaves nothing to record",
};

const ENDED = {
  hangup: "The other side has hung up.",
  cancelled: "The call was cancelled.",
  noAnswer: "Nobody answered.",
  lastLeft: "Everybody has left.",
  idle: "Nobody came.",
  ended: "The call was ended.",
};

const NO_DEVICE = {
  NotAllowedError: "not allowed by you or your browser",
  NotFoundError: "none found",
  NotReadableError: "in use by another program",
  OverconstrainedError: "not usable",
};

export const refused = (error) => {
  const words = REFUSED[error.code] ?? error.message;
  const incident = error.details?.incident;
  return incident ? `${words} Give the operator this number: ${incident}.` : words;
};

export const ended = (reason) => ENDED[reason] ?? "The call is over.";

// Why the record button does nothing, or null where it works. Of a room that is not known yet the
// first four are missing.
/**
 * @param {{kind?: string, origin?: string, owner?: string, state?: string, me: string, stops: boolean,
 *          recording: {active: boolean, allowed: boolean, reason?: string}, connected: boolean}} now
 */
export function whyNotRecord({ kind, origin, owner, me, state, stops, recording, connected }) {
  if (!connected) return "There is no connection to the call right now.";
  if (kind === "public") return REFUSED.PUBLIC_ROOM;
  if (recording.active && stops) return null;
  if (origin === "pstn") return REFUSED.PSTN_ROOM;
  if (owner !== me) return `Only ${owner}, who owns this call, can ${recording.active ? "stop the recording" : "record it"}.`;
  if (!recording.allowed) return `It cannot be recorded: ${NO_GRANT[recording.reason] ?? "your permissions do not allow it"}.`;
  if (state !== "established") return REFUSED.NOT_ESTABLISHED;
  return null;
}

export const WHAT = { all: "", audio: ", sound only", video: ", pictures only" };

export const since = (startedAt, by, type) => {
  const who = by === "system" ? "automatically" : by ? `by ${by}` : "";
  return `since ${new Date(startedAt).toLocaleTimeString()} ${who}`.trim() + (WHAT[type] ?? "");
};

// What is said when a recording stops, beyond that it has stopped.
const STOPPED = {
  failed: "The recording was interrupted. It goes on as soon as it can.",
  unattended: "The recording was stopped: its owner is not in the call.",
  maxRoom: "The recording was stopped: it is as long as the operator allows.",
};
export const stopped = (reason) => STOPPED[reason] ?? "";

// How far the recordings are that were stopped while this page was open.
/** @param {string[]} parts */
export function prepared(parts) {
  const ready = parts.filter((part) => part === "ready").length;
  const all = parts.length;
  if (all === 0) return "";
  if (parts.includes("preparing")) {
    return all === 1 ? "The recording is being prepared." : `${ready} of ${all} parts of the recording are ready, the others are being prepared.`;
  }
  if (ready < all) return all === 1 ? "The recording could not be prepared. Ask the operator." : `${all - ready} of ${all} parts of the recording could not be prepared. Ask the operator.`;
  return all === 1 ? "The recording is ready." : `All ${all} parts of the recording are ready.`;
}

export const clock = (ms) => {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:` : ""}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
};

// What to say of devices that could not be had.
/** @param {{insecure?: boolean, audio?: Error, video?: Error}} errors */
export function devices({ insecure, audio, video }) {
  if (insecure) return "Browsers give camera and microphone to pages over https only. You can join without.";
  const missing = Object.entries({ microphone: audio, camera: video }).filter(([, error]) => error);
  if (!missing.length) return "";
  const words = missing.map(([name, error]) => `${name} (${NO_DEVICE[error.name] ?? error.name})`);
  return `Without ${words.join(" and ")}. You can join all the same.`;
}

export const initials = (user) => {
  const words = user.split("@")[0].split(/[._+:-]+/).filter(Boolean);
  return words.slice(0, 2).map((word) => word[0].toUpperCase()).join("") || "?";
};
