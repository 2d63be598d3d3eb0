import { connect, RequestRefused, Unavailable } from "./sfu-recording.js";

const client = await connect("ws://127.0.0.1:8765/client", { token: async () => "…" });
const room = client.room("standup");
const joined = await room.join({ audio: true });
const state: string = joined.state;
const started = await room.startRecording();
const segment: number = started.segment;
room.on("roomRecordingStopped", ({ duration, reason }) => console.log(duration.toFixed(1), reason, state, segment));
client.on("state", ({ state, retryInMs }) => console.log(state, retryInMs));
try {
  await room.stopRecording();
} catch (error) {
  if (error instanceof RequestRefused && error.code === "NOT_RECORDING") console.log(error.retryAfter);
  if (error instanceof Unavailable && error.code === "TIMEOUT") client.close();
}
// @ts-expect-error: a segment is a number
const wrong: string = started.segment;
// @ts-expect-error: there is no such event detail
room.on("roomRecordingStopped", ({ nothing }) => nothing);
console.log(wrong);
