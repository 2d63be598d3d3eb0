// The call page: who is here, what is shown, what the buttons do.

import { canShare } from "./devices.js";
import { Media } from "./media.js";
import { Mine } from "./mine.js";
import { $, label, notice, show, speak, stage, told } from "./page.js";
import { Socket } from "./socket.js";
import { Tiles } from "./tiles.js";
import * as words from "./words.js";

const KEPT = "sfu-wrapper.token";
const INTERRUPTED = "Pictures and sound were interrupted; connecting again …";
const FAREWELL_MS = 2000; // then the user is gone here, and for the others after the grace

const room = decodeURIComponent(location.pathname.split("/").pop());
// Of a public room of another domain; null: our own.
const domain = new URLSearchParams(location.search).get("domain");
const where = domain ? { room, domain } : { room };
// This clock against the server's, so that "recorded so far" is right on a clock that is not.
const skew = Number(told("now")) - (performance.timeOrigin + performance.now());
const now = () => Date.now() + skew;

const tiles = new Tiles($("grid"));
const mine = new Mine(spread);
const people = new Map(); // user -> media
let token = "";
let me = "";
let home = ""; // the domain of this user
let roles = [];
let socket = null;
let media = null;
let inCall = false;
let connected = false;
let busy = false; // a start or stop is under way
let view = {}; // kind, origin, owner, state of the room
/** @type {{active: boolean, allowed: boolean, segment?: number, startedAt?: string, resumesAt?: string, by?: string, type?: string}} */
let recording = { active: false, allowed: false };
let hungUp = false;
let sent = ""; // what the others were told last of what is sent here
let waiting = false; // the call is over, and its recording is not ready yet
const parts = new Map(); // segment -> "preparing", "ready" or "failed", of what this user owns

// Whose pass it is

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  if (given) sessionStorage.setItem(KEPT, given);
  return sessionStorage.getItem(KEPT) ?? "";
}

function connect() {
  socket?.close();
  socket = new Socket(told("signaling"), {
    token,
    open: async (ask, known) => {
      home = known.domain;
      roles = known.roles;
      me = (domain ?? home) === home ? known.user : `${home}/${known.user}`; // as the others see it
      if (inCall) await enter(ask);
    },
    heard,
    state: connection,
  });
}

function connection(state, error) {
  connected = state === "open";
  if (state === "lost" && inCall) notice("The connection was lost. The call goes on; connecting again …");
  else if (state === "lost") notice("No connection to the server. Trying again …");
  else if (state === "open") {
    notice();
    $("me").textContent = me;
    if (inCall && media?.over) {
      startMedia();
      spread();
    }
    if (!inCall && !waiting && $("stage-lobby").hidden) lobby();
  } else if (error) refusedAtTheDoor(error);
  draw();
}

function refusedAtTheDoor(error) {
  if (error.code === "UNAUTHENTICATED") {
    sessionStorage.removeItem(KEPT);
    quit();
    stage("token");
    notice(words.refused(error));
  } else if (["ROOM_NOT_FOUND", "ROOM_ENDED", "FORBIDDEN"].includes(error.code)) {
    over(words.refused(error));
  } else {
    notice(words.refused(error));
  }
}

// Before the call

async function lobby() {
  try {
    const known = await socket.ask("joinRoom", { ...where, check: true });
    $("lobby-recorded").hidden = !known.recorded;
  } catch (error) {
    if (isAbsent(error)) absent(error);
    else refusedAtTheDoor(error);
    return;
  }
  stage("lobby");
  const errors = await mine.ask();
  if (errors) $("devices").textContent = words.devices(errors);
  spread();
}

// Nothing can be joined, here or there.
const isAbsent = (error) => ["ROOM_NOT_FOUND", "ROOM_ENDED"].includes(error.code);

function absent(error) {
  $("absent-why").textContent = words.refused(error);
  stage("absent");
}

async function join() {
  notice();
  $("join").disabled = true;
  try {
    await enter();
    stage("call");
    if (told("media")) startMedia();
    spread();
    draw();
  } catch (error) {
    if (isAbsent(error)) absent(error);
    else refusedAtTheDoor(error);
  } finally {
    $("join").disabled = false;
  }
}

async function create(event) {
  event.preventDefault();
  notice();
  try {
    await socket.ask("createRoom", { id: room, ...(domain && { domain }), kind: "meeting", record: $("create-record").checked });
  } catch (error) {
    notice(error.code === "BAD_REQUEST" ? "This name is taken. You are not invited there." : words.refused(error));
    return;
  }
  await join();
}

// In the call

// Join, or come back; and learn all about the room. ask: at the beginning of a connection.
async function enter(ask = (endpoint, payload) => socket.ask(endpoint, payload)) {
  sent = JSON.stringify(mine.flags);
  await ask("joinRoom", { ...where, media: mine.flags });
  inCall = true;
  const whole = await ask("getRoom", where);
  view = { kind: whole.kind, origin: whole.origin, owner: whole.owner, state: whole.state };
  people.clear();
  for (const { user, media } of whole.participants) people.set(user, media);
  const last = whole.segments.at(-1);
  mark({ ...whole.recording, by: last?.begunBy ?? last?.by });
}

function startMedia() {
  media?.close();
  media = new Media(told("media"), () => token, where, {
    got: (user, stream, track) => {
      if (track && stream === "screen") people.set(user, { ...people.get(user), screen: true });
      draw();
      tiles.attach(user, stream, track);
    },
    heard: (stream) => {
      $("mix").srcObject = stream;
      $("mix").play().catch(listenLater);
    },
    state: (state, error) => {
      if (state === "closed" && inCall) notice(`Pictures and sound have stopped: ${error.message}.`);
      else if (state === "lost" && connected) notice(INTERRUPTED);
      else if (state === "unsent") {
        mine.switchOff(error);
        notice(`The others cannot see your ${error}: this browser has none of the video formats of this call.`);
      } else if (state === "unseen") notice("This browser cannot show the video of this call: it has none of its formats.");
      else if (state === "silent") notice("The sound of this call is not on this page: it is mixed elsewhere.");
      else if (state === "open" && $("notice").textContent === INTERRUPTED) notice();
    },
  });
}

// Browsers play no sound before anything was pressed.
function listenLater() {
  notice("Press any button to hear the others.");
  document.addEventListener("click", () => $("mix").play().then(() => notice()).catch(() => {}), { once: true });
}

// Make all parts agree with what this browser sends now.
function spread() {
  media?.speak(mine.audio, !mine.mic);
  media?.send("camera", mine.picture);
  media?.send("screen", mine.screen);
  if (mine.audio) mine.audio.enabled = mine.mic;
  if (inCall) {
    people.set(me, mine.flags);
    tell();
  }
  draw();
}

function tell() {
  const media = mine.flags;
  if (sent === JSON.stringify(media)) return;
  sent = JSON.stringify(media);
  socket.ask("updateMedia", { ...where, media }).catch((error) => notice(words.refused(error)));
}

function heard(event, payload) {
  const ours = payload.room === room && (payload.domain ?? home) === (domain ?? home);
  if (ours) prepare(event, payload);
  if (!ours || !inCall) return;
  const { user } = payload;
  switch (event) {
    case "participantJoined":
      people.set(user, payload.media);
      if (user !== me) speak(`${user} has joined.`);
      break;
    case "participantMedia":
      people.set(user, payload.media);
      break;
    case "participantLeft":
      if (user === me) {
        over("You were taken out of the call.");
        return;
      }
      people.delete(user);
      speak(`${user} has left.`);
      break;
    case "roomEstablished":
      view.state = "established";
      break;
    case "roomRecordingStarted":
      notice();
      mark({
        ...recording, active: true, resumesAt: undefined, segment: payload.segment,
        startedAt: payload.startedAt, by: payload.begunBy ?? payload.by, type: payload.type,
      });
      break;
    case "roomRecordingStopped":
      mark({ ...recording, active: false, resumesAt: payload.resumesAt });
      if (words.stopped(payload.reason)) notice(words.stopped(payload.reason));
      break;
    case "roomRecordingChanged":
      if ("resumesAt" in payload) mark({ ...recording, resumesAt: payload.resumesAt ?? undefined });
      break;
    case "roomRecordingFailed":
      if (payload.final && !$("notice").hidden) break; // the requester has the reason already
      notice(payload.final ? "The recording could not be started." : "The recording could not be started; it is tried again.");
      break;
    case "hangup":
      hungUp = true;
      break;
    case "roomEnded":
      if (recording.active) prepare("roomRecordingStopped", recording);
      over(words.ended(payload.reason));
      return;
  }
  draw();
}

// Recording: everybody sees it, those who may stop or pause it

const stops = () =>
  view.owner === me || roles.includes("service") || (roles.includes("domain-admin") && home === (domain ?? home)) ||
  (told("stop-by") === "participants" && view.origin !== "pstn");

function mark(next) {
  const was = recording.active;
  const paused = recording.resumesAt;
  recording = next;
  const since = recording.active ? words.since(recording.startedAt, recording.by, recording.type) : "";
  $("recording-since").textContent = since;
  if (recording.active && !was) {
    speak(`This call is being recorded, ${since}.`);
  } else if (recording.resumesAt && recording.resumesAt !== paused) {
    speak(`The recording is paused. It goes on in ${words.clock(left())}.`);
  } else if ((was || paused) && !recording.active && !recording.resumesAt) {
    speak("This call is not being recorded any more.");
  }
  draw();
}

async function toggle() {
  if (busy || $("record").ariaDisabled === "true") {
    speak($("record-why").textContent);
    return;
  }
  await change(recording.active ? "stopRoomRecording" : "startRoomRecording", where);
}

// Of a running recording: offer the lengths of a pause. Of a paused one: end it for good.
function pauseOrEnd() {
  if (recording.resumesAt) change("stopRoomRecording", where);
  else offerPauses($("pauses").hidden);
}

function offerPauses(offered) {
  $("pauses").hidden = !offered;
  $("pause").ariaExpanded = String(offered);
  if (offered) $("pause-1").focus();
}

function pause(minutes) {
  offerPauses(false);
  $("pause").focus();
  return change("stopRoomRecording", { ...where, resumeAfterSeconds: 60 * minutes });
}

async function change(endpoint, payload) {
  if (busy) return;
  busy = true;
  notice();
  draw();
  try {
    await socket.ask(endpoint, payload);
  } catch (error) {
    notice(words.refused(error));
  } finally {
    busy = false;
    draw();
  }
}

function drawRecording() {
  $("recording").hidden = !(inCall && recording.active);
  document.body.classList.toggle("is-recorded", inCall && recording.active);
  $("paused").hidden = !(inCall && recording.resumesAt);
  document.title = `${inCall && recording.active ? "● Recording: " : ""}${room}`;
  const why = busy ? "One moment …" : words.whyNotRecord({ ...view, me, recording, connected, stops: stops() });
  $("record-why").textContent = why ?? "";
  $("record").ariaDisabled = String(Boolean(why));
  const live = recording.active && !why;
  label("record", live ? "Stop" : "Record", live ? "#i-stop" : "#i-record", live ? "Stop recording" : "Record");
  $("record").classList.toggle("live", live);
  $("pause").hidden = !(stops() && (recording.active || recording.resumesAt));
  if (recording.resumesAt) label("pause", "End", "#i-stop", "End the recording, it does not go on");
  else label("pause", "Pause", "#i-pause", "Pause the recording");
  if (!recording.active || $("pause").hidden) offerPauses(false);
  const said = words.prepared([...parts.values()]);
  $("prepared").textContent = said;
  $("prepared").hidden = !said;
  tick();
}

const left = () => Date.parse(recording.resumesAt) - now() + 999; // a second that has begun counts

function tick() {
  if (recording.resumesAt) $("paused-clock").textContent = words.clock(left());
  if (recording.active) $("recording-clock").textContent = words.clock(now() - Date.parse(recording.startedAt));
}

// Follow what was recorded until it can be had; only its owner is told.
/** @type {(event: string, about: {segment?: number}) => void} */
function prepare(event, { segment }) {
  if (view.owner !== me) return;
  const states = {
    roomRecordingStopped: "preparing",
    roomRecordingProcessed: "ready",
    roomRecordingProcessingFailed: "failed",
  };
  if (!(event in states)) return;
  if (event !== "roomRecordingStopped" || !parts.has(segment)) parts.set(segment, states[event]);
  if (waiting && !isPreparing()) {
    waiting = false;
    socket?.close();
  }
  draw();
}

const isPreparing = () => [...parts.values()].includes("preparing");

// The end

async function leave() {
  const asked = socket.ask("leaveRoom", where).catch(() => {});
  if (connected) await Promise.race([asked, new Promise((done) => setTimeout(done, FAREWELL_MS))]);
  over("You have left the call.");
}

function over(why) {
  waiting = view.owner === me && isPreparing();
  quit();
  $("over-why").textContent = hungUp ? words.ended("hangup") : why;
  hungUp = false;
  stage("over");
  draw();
}

// Let go of everything that is about the call.
function quit() {
  inCall = false;
  media?.close();
  media = null;
  if (!waiting) socket?.close();
  mine.stop();
  people.clear();
  tiles.clear();
  recording = { active: false, allowed: false };
}

// What is shown follows from what is known

function draw() {
  /** @type {[string, boolean, string, string][]} */
  const switches = [
    ["mic", mine.speaks, "#i-mic", "Mic"],
    ["cam", mine.shows, "#i-cam", "Camera"],
    ["lobby-mic", mine.speaks, "#i-mic", "Microphone"],
    ["lobby-cam", mine.shows, "#i-cam", "Camera"],
  ];
  for (const [id, on, icon, text] of switches) {
    $(id).ariaPressed = String(on);
    label(id, text, on ? icon : `${icon}-off`);
  }
  $("screen").ariaPressed = String(Boolean(mine.screen));
  $("screen").hidden = !canShare();
  label("screen", mine.screen ? "Sharing" : "Share", "#i-screen", "Share the screen");
  show($("preview"), mine.picture);
  $("preview-avatar").hidden = mine.shows;
  $("preview-avatar").textContent = words.initials(me);
  if (inCall) drawPeople();
  $("no-media").hidden = Boolean(told("media"));
  drawRecording();
}

function drawPeople() {
  const others = [...people].filter(([user]) => user !== me);
  const all = [[me, mine.flags], ...others];
  tiles.show(all.map(([user, given]) => ({ user, me: user === me, media: given })));
  tiles.attach(me, "camera", mine.picture);
  if (mine.screen) tiles.attach(me, "screen", mine.screen);
}

// Beginning

function start() {
  waiting = false;
  parts.clear();
  token = takeToken();
  if (token) connect();
  else stage("token");
}

$("room").textContent = room;
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  notice();
  token = $("token").value.trim();
  sessionStorage.setItem(KEPT, token);
  $("token").value = "";
  connect();
});
$("create-form").addEventListener("submit", create);
$("retry").addEventListener("click", join);
$("join").addEventListener("click", join);
$("again").addEventListener("click", start);
$("lobby-mic").addEventListener("click", () => mine.toggleMic());
$("lobby-cam").addEventListener("click", () => mine.toggleCam());
$("mic").addEventListener("click", () => mine.toggleMic());
$("cam").addEventListener("click", () => mine.toggleCam());
$("screen").addEventListener("click", () => mine.toggleScreen());
$("record").addEventListener("click", toggle);
$("pause").addEventListener("click", pauseOrEnd);
for (const minutes of [1, 3, 5]) $(`pause-${minutes}`).addEventListener("click", () => pause(minutes));
$("leave").addEventListener("click", leave);
window.addEventListener("hashchange", () => location.hash && start());
setInterval(tick, 500);
draw();
start();
