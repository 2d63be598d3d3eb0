// Real media: a peer connection for each thing that is sent or watched, and one for the sound.
// What is said about them goes over a socket of its own, to the controller; never to the SFU.

import { Socket } from "./socket.js";

const AGAIN_MS = 1000;
// How an answer of a browser, and one of Janus, says that it knows no format of the video.
const REJECTED = /^m=video 0 |^a=inactive/m;
const keyOf = (stream, user) => (user ? `${stream} ${user}` : stream);

export class Media {
  // changed: what is here now was gained or lost; got: (user, stream, track or null); heard: the
  // sound of everybody; state: "open", "lost", "closed" (with an error), "silent": there is no sound to be had,
  // "unsent" (with the stream) or "unseen": no format of this video is known to both browser and media server.
  constructor(url, token, where, { got, heard, state }) {
    this.got = got;
    this.heard = heard;
    this.told = state;
    this.lines = new Map();
    this.sent = { camera: null, screen: null };
    this.microphone = null;
    this.silent = true;
    this.socket = new Socket(url, {
      token: token(),
      repeats: false, // a line is made again instead
      open: (ask) => ask("enter", where),
      heard: (event, payload) => this.event(event, payload),
      state: (state, error) => this.state(state, error),
    });
  }

  // Send this camera or screen from now on; null: nothing any more.
  send(stream, track) {
    if (this.sent[stream] === track) return;
    this.sent[stream] = track;
    if (!this.socket.ready) return;
    if (track) this.publish(stream);
    else this.drop(keyOf(stream), () => this.socket.ask("unpublish", { stream }));
  }

  // Speak with this microphone from now on; null, or muted: be silent.
  speak(track, muted) {
    this.microphone = track;
    const line = this.lines.get("audio");
    line?.pc.getSenders()[0]?.replaceTrack(track);
    const silent = muted || !track;
    if (silent === this.silent) return;
    this.silent = silent;
    if (line?.said) this.socket.ask("mute", { muted: silent }).catch(() => this.restart("audio"));
  }

  get over() {
    return this.socket.ended;
  }

  close() {
    this.socket.close();
    this.dropAll();
  }

  state(state, error) {
    if (state === "open") {
      this.mix();
      for (const stream of ["camera", "screen"]) if (this.sent[stream]) this.publish(stream);
    } else {
      this.dropAll();
    }
    this.told(state, error);
  }

  event(event, feed) {
    if (event === "feedPublished") this.watch(feed);
    else if (event === "feedUnpublished") this.drop(keyOf(feed.stream, feed.user));
    else if (event === "lineLost") this.restart(keyOf(feed.stream, feed.user));
  }

  mix() {
    const line = this.line("audio", { stream: "audio" }, () => this.mix());
    line.pc.addTransceiver(this.microphone ?? "audio", { direction: "sendrecv" });
    line.pc.ontrack = ({ track }) => this.heard(new MediaStream([track]));
    this.offer(line, (sdp) => this.socket.ask("mix", { sdp, muted: this.silent }));
  }

  publish(stream) {
    const line = this.line(keyOf(stream), { stream }, () => this.publish(stream));
    line.pc.addTransceiver(this.sent[stream], { direction: "sendonly" });
    this.offer(line, (sdp) => this.socket.ask("publish", { stream, sdp }), () => {
      this.sent[stream] = null;
      this.drop(line.key, () => this.socket.ask("unpublish", { stream }));
      this.told("unsent", stream);
    });
  }

  watch({ user, stream }) {
    const key = keyOf(stream, user);
    const line = this.line(key, { user, stream }, () => this.watch({ user, stream }));
    line.gone = () => this.got(user, stream, null);
    line.pc.ontrack = ({ track }) => this.got(user, stream, track);
    this.attempt(line, async () => {
      const { sdp } = await this.socket.ask("subscribe", { user, stream });
      await line.pc.setRemoteDescription({ type: "offer", sdp });
      await line.pc.setLocalDescription();
      if (REJECTED.test(line.pc.localDescription.sdp)) {
        this.drop(key, () => this.socket.ask("unsubscribe", { user, stream }));
        this.told("unseen");
        return;
      }
      const answer = this.socket.ask("accept", { user, stream, sdp: line.pc.localDescription.sdp });
      line.flush();
      await answer;
    });
  }

  // Make a connection by an offer. rejected: called where the answer takes no format of the video.
  offer(line, ask, rejected = () => {}) {
    this.attempt(line, async () => {
      await line.pc.setLocalDescription();
      const answer = ask(line.pc.localDescription.sdp);
      line.flush();
      const { sdp } = await answer;
      if (REJECTED.test(sdp)) rejected();
      else await line.pc.setRemoteDescription({ type: "answer", sdp });
    });
  }

  // A new peer connection under this key; one that was there is closed.
  line(key, names, again) {
    this.drop(key);
    const pc = new RTCPeerConnection();
    const early = [];
    const line = { pc, key, again, gone: () => {}, said: false };
    const tell = (candidate) =>
      this.socket.ask("candidate", candidate ? { ...names, candidate } : names).catch(() => {});
    line.flush = () => {
      line.said = true;
      early.splice(0).forEach(tell);
    };
    pc.onicecandidate = ({ candidate }) => {
      const plain = candidate?.candidate
        ? { candidate: candidate.candidate, sdpMid: candidate.sdpMid, sdpMLineIndex: candidate.sdpMLineIndex }
        : null;
      if (line.said) tell(plain);
      else early.push(plain);
    };
    pc.onconnectionstatechange = () => pc.connectionState === "failed" && this.restart(key);
    this.lines.set(key, line);
    return line;
  }

  async attempt(line, work) {
    try {
      await work();
    } catch (error) {
      const gone = ["CLOSED", "NOT_IN_ROOM", "NOT_FOUND"].includes(error.code);
      if (this.lines.get(line.key) !== line) return;
      if (line.key === "audio" && error.code === "NOT_FOUND") this.told("silent");
      if (gone) this.drop(line.key);
      else this.restart(line.key);
    }
  }

  restart(key) {
    const line = this.lines.get(key);
    if (!line || line.timer) return;
    line.timer = setTimeout(() => this.lines.get(key) === line && this.socket.ready && line.again(), AGAIN_MS);
  }

  drop(key, after) {
    const line = this.lines.get(key);
    if (line) {
      clearTimeout(line.timer);
      this.lines.delete(key);
      line.pc.ontrack = line.pc.onicecandidate = line.pc.onconnectionstatechange = null;
      line.pc.close();
      line.gone();
    }
    after?.().catch(() => {});
  }

  dropAll() {
    for (const key of [...this.lines.keys()]) this.drop(key);
  }
}
