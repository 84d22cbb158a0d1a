/** A page that uses the package's files as they are, without a bundler. */

import * as sdk from "/sdk/dangerous-development.js";
import { table } from "./table.js";

Object.assign(window, { sdk, table });

const scripts = trustedTypes.createPolicy("scripts", { createScriptURL: (url) => url });

/** Runs one of the table's rows in a worker. */
window.inWorker = (options, name) =>
    new Promise((resolve, reject) => {
        const worker = new Worker(scripts.createScriptURL("/worker.js"), { type: "module" });
        worker.onmessage = ({ data }) => (data === "done" ? resolve() : reject(new Error(data)));
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage({ options, name });
    });
