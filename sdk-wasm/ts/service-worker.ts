/**
 * A service worker that takes the requests of an unmodified page through the channel: the page's side.
 * The worker is the file `steve-sdk/service-worker/worker.js`, to be served from the page's origin.
 *
 * What the worker does not see goes its usual way: WebSockets, requests to other origins, and those of
 * pages that it does not control yet, or after a reload with Shift. There is no cookie jar: the app
 * gets no cookies, and its `set-cookie` is dropped.
 *
 * The browser gets the page and the worker's script, also its updates, from the page's origin, past
 * the channel: who serves that origin can replace either. Serve them from an origin of your own, which
 * is not the host's, and give the service's `origin`. On the host's own origin the worker protects from
 * a host that looks, and not from one that changes what it serves.
 *
 * @module
 */
export type { SteveError } from "./errors.js";
export type { RegisterOptions } from "./service-worker/register.js";
export { registerSteve } from "./service-worker/register.js";
export type { SteveStatus, WorkerEventMap } from "./service-worker/status.js";
export { onSteve, onSteveUpdate, steveStatus, steveVerify } from "./service-worker/status.js";
