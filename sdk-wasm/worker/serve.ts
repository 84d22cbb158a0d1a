import type { Steve } from "../dist/client.js";
import type { ConnectOptions } from "../dist/connect.js";
import type { VerifiedEnclave } from "../dist/enclave.js";
import { readConfig, type WorkerConfig } from "../dist/service-worker/config.js";
import {
    type Answer,
    type Notice,
    type PlainError,
    plainError,
    type Question,
    type WorkerStatus,
} from "../dist/service-worker/messages.js";
import { innerRequest } from "./inner.js";
import { refusal } from "./refusal.js";
import { isOurs } from "./route.js";

declare const self: ServiceWorkerGlobalScope;

/** Connects to the service of a configuration. */
export type Connect = (config: WorkerConfig, options: ConnectOptions) => Promise<Steve>;

/**
 * Answers the requests of the pages through the channel.
 *
 * All that the worker knows is in the URL of its script, so one that the browser ended and started
 * again goes on as before, with a new session. Keys are in the memory of its core, and nowhere else.
 */
export function serve(connect: Connect): void {
    const config = readConfig(self.location.href);
    const channel = new Channel(config, connect);

    self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

    self.addEventListener("fetch", (event) => {
        const { request } = event;
        if (isOurs(request, self.location.origin, config))
            event.respondWith(answer(channel, request));
    });

    self.addEventListener("message", (event) => {
        const [port] = event.ports;
        const question = event.data as Question | undefined;
        event.waitUntil(
            reply(channel, question?.steve).then(
                (value) => port?.postMessage({ value } satisfies Answer),
                (error: unknown) =>
                    port?.postMessage({ error: plainError(error) } satisfies Answer),
            ),
        );
    });
}

/** Never the network: what cannot go through the channel fails. */
async function answer(channel: Channel, request: Request): Promise<Response> {
    try {
        const steve = await channel.steve();
        const { url, init } = await innerRequest(request, self.location.origin, steve.origin);
        return await steve.fetch(url, init);
    } catch (error) {
        return refusal(request, plainError(error));
    }
}

async function reply(
    channel: Channel,
    question: Question["steve"] | undefined,
): Promise<WorkerStatus> {
    if (question === "verify") await channel.verify();
    if (question === "claim") await self.clients.claim();
    if (question === "activate") await self.skipWaiting();
    return channel.status();
}

/** The client, made when it is first needed. */
class Channel {
    readonly #config: WorkerConfig;
    readonly #connect: Connect;
    #connecting: Promise<Steve> | undefined;
    #state: WorkerStatus["state"] = "idle";
    #enclave: VerifiedEnclave | undefined;
    #error: PlainError | undefined;

    constructor(config: WorkerConfig, connect: Connect) {
        this.#config = config;
        this.#connect = connect;
    }

    /** A failure is forgotten, so that the next request tries again. */
    steve(): Promise<Steve> {
        this.#connecting ??= this.#open().catch((error: unknown) => {
            this.#connecting = undefined;
            this.#onError(error);
            throw error;
        });
        return this.#connecting;
    }

    async verify(): Promise<void> {
        const isNew = this.#connecting === undefined;
        const steve = await this.steve();
        if (!isNew) await steve.verify();
    }

    status(): WorkerStatus {
        return {
            ...this.#config,
            version: STEVE_VERSION,
            state: this.#state,
            enclave: this.#enclave,
            error: this.#error,
        };
    }

    #open(): Promise<Steve> {
        const { origin, profiles } = this.#config;
        return this.#connect(this.#config, {
            origin,
            policy: { profiles },
            on: {
                verified: (enclave) => {
                    this.#state = "verified";
                    this.#enclave = enclave;
                    this.#error = undefined;
                    tell({ steve: "verified", enclave });
                },
                session: ({ id, suite }) => tell({ steve: "session", id, suite }),
                error: (error) => this.#onError(error),
            },
        });
    }

    #onError(thrown: unknown): void {
        const error = plainError(thrown);
        if (error.stage === "setup" || error.stage === "evidence" || error.stage === "handshake") {
            this.#state = "refused";
            this.#error = error;
        }
        tell({ steve: "error", error });
    }
}

/** Tells every page, also those that are not controlled yet. */
async function tell(notice: Notice): Promise<void> {
    for (const client of await self.clients.matchAll({ includeUncontrolled: true }))
        client.postMessage(notice);
}
