// What the user may do with a recording, by the rules of policy.md ("Order of the checks"), so that a
// button can say why it does nothing. The server decides; these only foresee its answer.

import { hasRole, meta } from "./session.js";

/** How the user is shown in a room: users of another domain have their domain before them. */
export const shownAs = (session, room) => (room.domain && room.domain !== session.domain ? `${session.domain}/${session.user}` : session.user);

const owns = (session, room) => shownAs(session, room) === room.owner;
const takesPart = (session, room) => room.participants.some(({ user }) => user === shownAs(session, room));

/** Return the code with which a start would be refused, or null. */
export function refusedStart(session, room) {
  const service = hasRole(session, "service");
  if (room.state === "ended") return "ROOM_ENDED";
  if (!service && !takesPart(session, room)) return "NOT_IN_ROOM";
  if (room.kind === "public") return "PUBLIC_ROOM";
  if (room.origin === "pstn") return "PSTN_ROOM";
  if (!service && !owns(session, room)) return "NOT_ROOM_OWNER";
  if (!room.recording.allowed) return "NOT_PERMITTED";
  if (room.state !== "established") return "NOT_ESTABLISHED";
  return room.recording.active ? "ALREADY_RECORDING" : null;
}

/** Return the code with which a stop or a pause would be refused, or null. */
export function refusedStop(session, room) {
  const trusted = hasRole(session, "service") || (hasRole(session, "domain-admin") && room.domain === session.domain);
  if (room.state === "ended") return "ROOM_ENDED";
  if (!trusted && room.kind === "public") return "PUBLIC_ROOM";
  if (!trusted && room.origin === "pstn") return "PSTN_ROOM";
  const may = trusted || owns(session, room) || (meta("stop-by") === "participants" && takesPart(session, room));
  if (!may) return "NOT_ROOM_OWNER";
  return room.recording.active || room.recording.resumesAt ? null : "NOT_RECORDING";
}

/** Return the code with which an end of the room would be refused, or null. */
export function refusedEnd(session, room) {
  if (room.state === "ended") return "ROOM_ENDED";
  return hasRole(session, "service") || owns(session, room) ? null : "NOT_ROOM_OWNER";
}
