import { invalidOptions, SteveError } from "../errors.js";
import type { Profile } from "../profiles.js";
import { checkBootstrap, configText, workerUrl } from "./config.js";
import { ask, type SteveStatus } from "./status.js";
import { trustedScriptUrl } from "./trusted-types.js";

/** How to register the worker. */
export interface RegisterOptions {
    /** Which enclaves to accept: pinned profiles. */
    readonly policy: {
        /** The profiles: the enclave must satisfy one of them. */
        readonly profiles: Profile | readonly Profile[];
    };
    /** The service: scheme, host and port. Without this: the page's own origin. */
    readonly origin?: string | URL;
    /** The pages whose requests the worker answers: those below this path. Without this: `/`. */
    readonly scope?: string;
    /**
     * Paths of the page's own origin, exact and with their queries, that GET and HEAD requests fetch
     * past the channel, unprotected. Without this: none.
     */
    readonly bootstrap?: readonly string[];
    /** Where the worker's script is served from. Without this: `/steve-service-worker.js`. */
    readonly script?: string | URL;
    /**
     * Lets a worker with another policy, service or bootstrap list take the place of the one there is.
     * Without this `registerSteve` rejects then.
     */
    readonly replacePolicy?: boolean;
}

/**
 * Registers the worker, waits until it answers this page's requests, and has it verify the enclave.
 *
 * From then on every request of the page to its own origin, and to the service, goes through the
 * channel or fails, except the bootstrap paths. Rejects with a `SteveError`: `policy-differs` when a
 * worker with another configuration is registered; what `connect` rejects with when the enclave is
 * refused, and then the worker stays, and refuses every request.
 */
export async function registerSteve(options: RegisterOptions): Promise<SteveStatus> {
    return registerWorker(options, undefined);
}

/** `registerSteve`, perhaps with a root that is not AWS's. */
export async function registerWorker(
    options: RegisterOptions,
    dangerousTrustRoot: string | undefined,
): Promise<SteveStatus> {
    const container = (navigator as { serviceWorker?: ServiceWorkerContainer }).serviceWorker;
    if (container === undefined) {
        throw failed(
            "this browser has no service workers here: they need https, and no private window",
        );
    }
    const {
        policy,
        origin = location.origin,
        scope = "/",
        bootstrap = [],
        replacePolicy = false,
    } = options;
    if (policy?.profiles === undefined)
        throw invalidOptions("no policy: pin the measurements of the enclave");
    const url = workerUrl(new URL(options.script ?? "/steve-service-worker.js", location.origin), {
        origin: new URL(origin).origin,
        profiles: policy.profiles,
        bootstrap: checkBootstrap(bootstrap, location.origin),
        ...(dangerousTrustRoot === undefined ? {} : { dangerousTrustRoot }),
    });
    const wanted = configText(url.href);
    const isWanted = (worker: ServiceWorker) => configText(worker.scriptURL) === wanted;
    const scopeUrl = new URL(scope, location.origin).href;

    const known = await container.getRegistration(scopeUrl);
    const others =
        known?.scope === scopeUrl ? workersOf(known).filter((worker) => !isWanted(worker)) : [];
    if (others.length > 0 && !replacePolicy) {
        const message =
            "a worker with another policy, service or bootstrap list is registered; " +
            "have a person agree, and set `replacePolicy`";
        throw new SteveError("policy-differs", "setup", message);
    }
    const registration = await register(container, url, scope);
    const worker = await activated(registration, isWanted);
    if (location.href.startsWith(scopeUrl)) await controlling(container, worker);
    return ask(worker, "verify");
}

async function register(
    container: ServiceWorkerContainer,
    url: URL,
    scope: string,
): Promise<ServiceWorkerRegistration> {
    try {
        return await container.register(trustedScriptUrl(url), { scope, updateViaCache: "none" });
    } catch (cause) {
        throw failed(`the browser did not take the script ${url.pathname}`, cause);
    }
}

function workersOf({ active, waiting, installing }: ServiceWorkerRegistration): ServiceWorker[] {
    return [active, waiting, installing].filter((worker) => worker !== null);
}

/** The active worker, once it is one that is wanted. A mere update of its script is not waited for. */
async function activated(
    registration: ServiceWorkerRegistration,
    isWanted: (worker: ServiceWorker) => boolean,
): Promise<ServiceWorker> {
    const { active } = registration;
    if (active !== null && isWanted(active)) {
        await reached(active, "activated");
        return active;
    }
    const worker = workersOf(registration).find((each) => each !== active && isWanted(each));
    if (worker === undefined) throw failed("the worker went away; try again");
    await reached(worker, "installed");
    if (active !== null) worker.postMessage({ steve: "activate" });
    await reached(worker, "activated");
    return worker;
}

const ORDER = ["parsed", "installing", "installed", "activating", "activated"];

/** Resolves when the worker is in this state, or beyond. */
function reached(worker: ServiceWorker, state: ServiceWorkerState): Promise<void> {
    return new Promise((resolve, reject) => {
        const check = () => {
            const isRedundant = worker.state === "redundant";
            if (!isRedundant && ORDER.indexOf(worker.state) < ORDER.indexOf(state)) return;
            worker.removeEventListener("statechange", check);
            if (isRedundant) reject(failed("the worker could not be installed"));
            else resolve();
        };
        worker.addEventListener("statechange", check);
        check();
    });
}

/** A page that was loaded past the worker, as by a reload with Shift, is taken over as well. */
async function controlling(
    container: ServiceWorkerContainer,
    worker: ServiceWorker,
): Promise<void> {
    if (container.controller?.scriptURL === worker.scriptURL) return;
    const changed = new Promise((resolve) => {
        container.addEventListener("controllerchange", resolve, { once: true });
    });
    await ask(worker, "claim");
    if (container.controller?.scriptURL !== worker.scriptURL) await changed;
}

function failed(message: string, cause?: unknown): SteveError {
    return new SteveError("service-worker", "setup", message, cause === undefined ? {} : { cause });
}
