import { Appraisal } from "./appraisal.js";
import { Steve } from "./client.js";
import { invalidOptions } from "./errors.js";
import { type EventMap, Events, type Listeners } from "./events.js";
import type { Platform } from "./platform.js";
import { checkPolicy, type Policy } from "./policy.js";
import { Scope } from "./scope.js";
import { Sessions } from "./sessions.js";
import { requireWebCrypto } from "./signatures.js";
import { outerFetch, Transport } from "./transport.js";

/** A key exchange and a cipher (SPEC.md, Section 4). */
export type Suite =
    "xwing-chacha20poly1305" | "xwing-aes256gcm" | "x25519-chacha20poly1305" | "x25519-aes256gcm";

/** Post-quantum ones only; what WebAssembly runs fast comes first. */
const DEFAULT_SUITES: readonly Suite[] = ["xwing-chacha20poly1305", "xwing-aes256gcm"];
const SUITES: readonly Suite[] = [...DEFAULT_SUITES, "x25519-chacha20poly1305", "x25519-aes256gcm"];

/** Times in milliseconds. */
export interface Timeouts {
    /** For evidence, and for a handshake. Without this: 30 000. */
    readonly setup?: number;
    /**
     * From the beginning of a request, with all it takes to get there, to the head of its response.
     * Without this: no limit.
     */
    readonly request?: number;
    /** Without anything to read while a response body is being read. Without this: no limit. */
    readonly idle?: number;
}

/** How to connect. */
export interface ConnectOptions {
    /** The service: scheme, host and port, such as `https://app.example.com`. */
    readonly origin: string | URL;
    /** Which enclaves to accept. Without a policy there is no connection. */
    readonly policy: Policy;
    /** The suites allowed, in order of preference. Without this: the post-quantum ones. */
    readonly suites?: readonly Suite[];
    /**
     * Pads requests, and asks the proxy to pad responses at least so, because lengths tell what is
     * said: `padme` adds at most an eighth to what is longer than 256 bytes, a block makes lengths
     * multiples of 16 to 16384 bytes. Without this: not at all.
     */
    readonly padding?:
        | "none"
        | "padme"
        | {
              /** Bytes. */
              readonly block: number;
          };
    /**
     * Asks for responses that leave the enclave only every so many milliseconds, 10 to 1000, because
     * times tell where words begin. Without this: at once.
     */
    readonly coalesce?: number;
    /** How long to wait for what. */
    readonly timeouts?: Timeouts;
    /**
     * Whether a request with a safe method for which a session has to be made goes along with the
     * handshake: saves a round trip, see `SteveRequestInit.early` for what it costs. `connect` makes
     * the first session by itself, so this is about those that follow when that has ended, or was
     * not used for 30 seconds. Without this: true.
     */
    readonly earlyData?: boolean;
    /**
     * How old evidence may be, and for how long a verified enclave is used before it is asked for
     * fresh evidence: milliseconds. Without this: 5 minutes.
     */
    readonly maxEvidenceAge?: number;
    /**
     * How far evidence may be ahead of this machine's clock: milliseconds. Without this: 5 minutes.
     */
    readonly maxClockSkew?: number;
    /**
     * Sends the outer requests. Without this: the platform's `fetch`; in Node its module `http`,
     * which starts faster.
     */
    readonly fetch?: typeof fetch;
    /** Opens tunnels instead of the platform's way. */
    readonly WebSocket?: typeof WebSocket;
    /** Listeners that are there from the beginning; see `Steve.on`. */
    readonly on?: Listeners;
}

/** Connects, on a platform. `dangerousRoot` is the SHA-256 of a root that is not AWS's. */
export async function connectOn(
    platform: Platform,
    options: ConnectOptions,
    dangerousRoot?: Uint8Array,
): Promise<Steve> {
    requireWebCrypto();
    const origin = parseOrigin(options.origin);
    const suites = checkSuites(options.suites ?? DEFAULT_SUITES);
    const core = await platform.loadCore();
    const policy = checkPolicy(core, options.policy);
    const { timeouts = {}, maxEvidenceAge, maxClockSkew } = options;
    const events = new Events();
    listen(events, options.on ?? {});
    const work = new Scope();
    const transport = new Transport(origin, {
        fetch: options.fetch === undefined ? platform.fetch : outerFetch(options.fetch),
        openTunnel: platform.tunnels(options.WebSocket),
        streamsUploads: platform.streamsUploads,
    });
    const appraisal = new Appraisal(core, {
        policy,
        origin,
        maxEvidenceAge,
        maxClockSkew,
        dangerousRoot,
    });
    const sessions = new Sessions({
        core,
        appraisal,
        transport,
        suites,
        padding: paddingOf(options),
        setupTimeout: timeouts.setup ?? 30_000,
        events,
        work,
    });
    const steve = new Steve({
        core,
        origin,
        transport,
        sessions,
        events,
        work,
        free: () => "pinned" in policy && policy.pinned.free(),
        requestTimeout: timeouts.request,
        idleTimeout: timeouts.idle,
        earlyData: options.earlyData ?? true,
    });
    try {
        await steve.open();
        return steve;
    } catch (error) {
        steve.close();
        throw error;
    }
}

function parseOrigin(origin: string | URL | undefined): string {
    if (origin === undefined || !URL.canParse(String(origin))) {
        throw invalidOptions("the origin is not an absolute URL, such as https://app.example.com");
    }
    const url = new URL(String(origin));
    if (url.protocol !== "https:" && url.protocol !== "http:") {
        throw invalidOptions("the origin's scheme is neither https nor http");
    }
    if (url.href !== `${url.origin}/`) {
        throw invalidOptions("the origin must be scheme, host and port without anything else");
    }
    return url.origin;
}

/** The core checks it. */
function paddingOf({ padding = "none", coalesce }: ConnectOptions): string {
    const policy = typeof padding === "string" ? padding : `block=${padding.block}`;
    return coalesce === undefined ? policy : `${policy}, coalesce=${coalesce}`;
}

function checkSuites(suites: readonly Suite[]): readonly Suite[] {
    if (suites.length === 0) throw invalidOptions("the list of allowed suites is empty");
    const unknown = suites.find((suite) => !SUITES.includes(suite));
    if (unknown !== undefined) throw invalidOptions(`there is no suite named "${unknown}"`);
    return suites;
}

function listen(events: Events, listeners: Listeners): void {
    const add = <Name extends keyof EventMap>(name: Name) => {
        const listener = listeners[name];
        if (listener !== undefined) events.on(name, listener);
    };
    add("verified");
    add("session");
    add("error");
}
