// Camera, microphone and screen of this browser. Whatever cannot be had is left out.

const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

// Both at once, so that the person is asked once; then each alone. -> {audio, video, errors}
export async function ask() {
  if (!navigator.mediaDevices) return { errors: { insecure: true } };
  try {
    const both = await navigator.mediaDevices.getUserMedia({ audio: AUDIO, video: VIDEO });
    return { audio: both.getAudioTracks()[0], video: both.getVideoTracks()[0], errors: {} };
  } catch {
    const found = { errors: {} };
    for (const [kind, wanted] of [["audio", AUDIO], ["video", VIDEO]]) {
      try {
        found[kind] = await one(kind, wanted);
      } catch (error) {
        found.errors[kind] = error;
      }
    }
    return found;
  }
}

export const camera = () => one("video", VIDEO);
export const microphone = () => one("audio", AUDIO);

export async function screen() {
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } } });
  return stream.getVideoTracks()[0];
}

export const canShare = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

async function one(kind, wanted) {
  const stream = await navigator.mediaDevices.getUserMedia({ [kind]: wanted });
  return stream.getTracks()[0];
}
