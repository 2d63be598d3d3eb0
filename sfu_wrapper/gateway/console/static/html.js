// Preact with htm: what views are written in.

import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

export { Component, Fragment, createContext, render } from "./vendor/preact.js";
export { useCallback, useContext, useEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
/** @type {any} */
export const html = htm.bind(h);
