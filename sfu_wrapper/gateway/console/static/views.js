// The views of the console, in the order of the navigation. `visible` chooses what a role is shown;
// what it may do is decided by the server.

import { Rooms } from "./views/rooms.js";

/** @typedef {import("./session.js").Session} Session */
/** @type {(session: Session) => boolean} */
const everybody = () => true;

export const VIEWS = [
  { name: "rooms", title: "rooms.title", component: Rooms, visible: everybody },
];
