// The views of the console, in the order of the navigation. `visible` chooses what a role is shown;
// what it may do is decided by the server.

import { hasRole } from "./session.js";
import { Audit } from "./views/audit.js";
import { Health } from "./views/health.js";
import { Missed } from "./views/missed.js";
import { Permissions } from "./views/permissions.js";
import { Recordings } from "./views/recordings.js";
import { Retention } from "./views/retention.js";
import { Rooms } from "./views/rooms.js";
import { Webhooks } from "./views/webhooks.js";

/** @typedef {import("./session.js").Session} Session */
/** @type {(session: Session) => boolean} */
const allUsers = () => true;
/** @type {(session: Session) => boolean} */
const trusted = (session) => hasRole(session, "domain-admin", "service");

export const VIEWS = [
  { name: "rooms", title: "rooms.title", component: Rooms, visible: allUsers },
  { name: "recordings", title: "recordings.title", component: Recordings, visible: allUsers },
  { name: "missed", title: "missed.title", component: Missed, visible: trusted },
  { name: "permissions", title: "permissions.title", component: Permissions, visible: allUsers },
  { name: "retention", title: "retention.title", component: Retention, visible: trusted },
  { name: "webhooks", title: "webhooks.title", component: Webhooks, visible: trusted },
  { name: "audit", title: "audit.title", component: Audit, visible: trusted },
  { name: "health", title: "health.title", component: Health, visible: allUsers },
];
