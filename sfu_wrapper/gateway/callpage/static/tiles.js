// The people in the call, one tile each, and one more for a screen.

import { initials } from "./words.js";

const GAP = 12; // as in the style
const SMALLEST = 140;

export class Tiles {
  constructor(grid) {
    this.grid = grid;
    this.tiles = new Map();
    this.tracks = new Map();
    new ResizeObserver(() => this.arrange()).observe(grid);
  }

  // people: [{user, me, media}]; what is not among them goes.
  show(people) {
    const wanted = new Map();
    for (const { user, me, media } of people) {
      wanted.set(`camera ${user}`, { user, me, stream: "camera", media });
      if (media.screen) wanted.set(`screen ${user}`, { user, me, stream: "screen", media });
    }
    for (const [key, tile] of this.tiles) {
      if (!wanted.has(key)) {
        tile.root.remove();
        this.tiles.delete(key);
      }
    }
    for (const [key, one] of wanted) this.draw(key, one);
    this.arrange();
  }

  // Show a track in a tile that is there, or that will be; null: no picture any more.
  attach(user, stream, track) {
    const key = `${stream} ${user}`;
    this.tracks.set(key, track);
    this.picture(key);
  }

  draw(key, { user, me, stream, media }) {
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = build(user, me, stream);
      this.tiles.set(key, tile);
      this.grid.append(tile.root);
    }
    tile.muted.toggleAttribute("hidden", stream === "screen" || media.audio);
    this.picture(key);
    tile.label.textContent = stream === "screen" ? `${user}: screen` : me ? `${user} (you)` : user;
  }

  picture(key) {
    const tile = this.tiles.get(key);
    const track = this.tracks.get(key) ?? null;
    if (!tile || tile.track === track) return;
    tile.track = track;
    tile.video.srcObject = track ? new MediaStream([track]) : null;
    tile.video.hidden = !track;
    tile.avatar.hidden = Boolean(track);
  }

  clear() {
    this.tracks.clear();
    this.show([]);
  }

  arrange() {
    const count = this.tiles.size;
    const widths = Array.from({ length: count }, (_, less) => this.width(less + 1, Math.ceil(count / (less + 1))));
    this.grid.style.setProperty("--width", `${Math.max(SMALLEST, ...widths)}px`);
  }

  // Of a tile, so that this many columns and rows can be seen without scrolling.
  width(columns, rows) {
    const height = (this.grid.clientHeight - GAP * (rows - 1)) / rows;
    const width = (this.grid.clientWidth - GAP * (columns - 1)) / columns;
    return Math.floor(Math.min((height * 16) / 9, width));
  }
}

function build(user, me, stream) {
  const root = element("li", `tile ${stream}${me && stream === "camera" ? " mirrored" : ""}`);
  const video = element("video");
  video.autoplay = video.muted = video.playsInline = true;
  video.hidden = true;
  video.dataset.user = user;
  video.dataset.stream = stream;
  const avatar = element("span", "avatar");
  avatar.textContent = initials(user);
  avatar.ariaHidden = "true";
  const name = element("p", "name");
  const label = element("span");
  const muted = icon("#i-mic-off", "microphone off");
  name.append(muted, label);
  root.append(video, avatar, name);
  return { root, video, avatar, label, muted, track: null };
}

function element(tag, className = "") {
  const made = document.createElement(tag);
  made.className = className;
  return made;
}

function icon(href, label) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  use.setAttribute("href", href);
  svg.append(use);
  return svg;
}
