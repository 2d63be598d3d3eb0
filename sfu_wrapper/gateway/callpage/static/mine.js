// What this browser sends: the tracks that it has, and whether they are switched on.

import * as devices from "./devices.js";
import { notice } from "./page.js";

export class Mine {
  // changed: something was switched, or taken away.
  constructor(changed) {
    this.changed = changed;
    this.forget();
  }

  // What the others are told.
  get flags() {
    return { audio: this.speaks, video: this.shows, screen: Boolean(this.screen) };
  }

  get speaks() {
    return Boolean(this.audio && this.mic);
  }

  get shows() {
    return Boolean(this.video && this.cam);
  }

  get picture() {
    return this.cam ? this.video : null;
  }

  // Ask for camera and microphone, once; what could not be had.
  async ask() {
    if (this.asked) return null;
    this.asked = true;
    const found = await devices.ask();
    this.audio = this.watched("audio", found.audio ?? null);
    this.video = this.watched("video", found.video ?? null);
    this.mic = Boolean(this.audio);
    this.cam = Boolean(this.video);
    return found.errors;
  }

  async toggleMic() {
    this.audio ??= this.watched("audio", await devices.microphone().catch(failed("microphone")));
    this.mic = this.audio ? !this.mic : false;
    this.changed();
  }

  async toggleCam() {
    if (this.shows) {
      this.video.stop();
      this.video = null;
    } else {
      this.video = this.watched("video", await devices.camera().catch(failed("camera")));
    }
    this.cam = Boolean(this.video);
    this.changed();
  }

  async toggleScreen() {
    if (this.screen) {
      this.screen.stop();
      this.screen = null;
    } else {
      this.screen = this.watched("screen", await devices.screen().catch(chosenNot));
    }
    this.changed();
  }

  // Switch a camera or screen off that the call cannot use.
  switchOff(stream) {
    if (stream === "camera" && this.shows) this.toggleCam();
    else if (stream === "screen" && this.screen) this.toggleScreen();
  }

  stop() {
    for (const track of [this.audio, this.video, this.screen]) track?.stop();
    this.forget();
  }

  forget() {
    Object.assign(this, { audio: null, video: null, screen: null, mic: true, cam: true, asked: false });
  }

  // What is pulled out, or taken away by the browser, is as good as switched off.
  watched(kind, track) {
    if (track) {
      track.onended = () => {
        if (this[kind] !== track) return;
        this[kind] = null;
        if (kind === "audio") this.mic = false;
        if (kind === "video") this.cam = false;
        this.changed();
      };
    }
    return track;
  }
}

const failed = (kind) => (error) => {
  notice(`The ${kind} cannot be used (${error.name}).`);
  return null;
};

// A user who closes the question of the browser needs no notice of it.
const chosenNot = (error) => (error.name === "NotAllowedError" ? null : failed("screen")(error));
