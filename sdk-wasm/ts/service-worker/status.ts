import type { VerifiedEnclave } from "../enclave.js";
import { SteveError } from "../errors.js";
import {
    type Answer,
    type Notice,
    type Question,
    steveError,
    type WorkerStatus,
} from "./messages.js";

/** How the worker is that answers this page's requests. */
export interface SteveStatus extends Omit<WorkerStatus, "error"> {
    /** This page's requests go through it. False after a reload with Shift, for example. */
    readonly controlled: boolean;
    /** Why there was no channel, the last time there was none. */
    readonly error: SteveError | undefined;
}

/** What pages are told. */
export interface WorkerEventMap {
    /** Evidence was fetched, and every check passed. */
    verified: VerifiedEnclave;
    /** A session was established. */
    session: {
        /** Its public name, in hexadecimal. */
        readonly id: string;
        /** Its cipher suite. */
        readonly suite: string;
    };
    /** A request or a verification failed. */
    error: SteveError;
}

/** Asks the worker of this page how it is. Undefined when there is none. Nothing is fetched. */
export async function steveStatus(): Promise<SteveStatus | undefined> {
    const worker = await current();
    return worker && ask(worker, "status");
}

/** Has the worker fetch and appraise fresh evidence. Rejects with why the enclave is refused. */
export async function steveVerify(): Promise<SteveStatus> {
    const worker = await current();
    if (worker === undefined)
        throw new SteveError("service-worker", "setup", "no worker is registered");
    return ask(worker, "verify");
}

/** Listens to what the worker tells; gives a function that stops that. */
export function onSteve<Name extends keyof WorkerEventMap>(
    name: Name,
    listener: (event: WorkerEventMap[Name]) => void,
): () => void {
    const { serviceWorker } = navigator;
    const hear = ({ data, source }: MessageEvent<Notice>) => {
        if (!(source instanceof ServiceWorker) || data?.steve !== name) return;
        listener(eventOf(data) as WorkerEventMap[Name]);
    };
    serviceWorker.addEventListener("message", hear);
    serviceWorker.startMessages();
    return () => serviceWorker.removeEventListener("message", hear);
}

/** Calls `listener` when a new release of the worker waits; `activate` puts it in place of the old. */
export function onSteveUpdate(listener: (activate: () => void) => void): void {
    navigator.serviceWorker.ready.then((registration) => {
        const tell = (worker: ServiceWorker | null) => {
            if (worker?.state !== "installed" || registration.active === null) return;
            listener(() => worker.postMessage({ steve: "activate" } satisfies Question));
        };
        tell(registration.waiting);
        registration.addEventListener("updatefound", () => {
            const { installing } = registration;
            installing?.addEventListener("statechange", () => tell(installing));
        });
    });
}

/** Asks a worker something; gives its status afterwards. */
export function ask(worker: ServiceWorker, what: Question["steve"]): Promise<SteveStatus> {
    return new Promise((resolve, reject) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }: MessageEvent<Answer>) => {
            port1.close();
            if ("error" in data) return reject(steveError(data.error));
            const { error, ...status } = data.value;
            const controlled = navigator.serviceWorker.controller?.scriptURL === worker.scriptURL;
            resolve({ ...status, controlled, error: error && steveError(error) });
        };
        worker.postMessage({ steve: what } satisfies Question, [port2]);
    });
}

async function current(): Promise<ServiceWorker | undefined> {
    const { controller } = navigator.serviceWorker;
    if (controller !== null) return controller;
    return (await navigator.serviceWorker.getRegistration())?.active ?? undefined;
}

function eventOf(notice: Notice): WorkerEventMap[keyof WorkerEventMap] {
    switch (notice.steve) {
        case "verified":
            return notice.enclave;
        case "session":
            return { id: notice.id, suite: notice.suite };
        case "error":
            return steveError(notice.error);
    }
}
