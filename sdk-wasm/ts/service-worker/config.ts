import { invalidOptions } from "../errors.js";
import type { Profile } from "../profiles.js";

/**
 * What a worker does its work by: in the URL of its script, so that the browser keeps it with the
 * registration, and nothing else can change it. Another policy is another worker.
 */
export interface WorkerConfig {
    /** The service. */
    readonly origin: string;
    /** The pinned profiles: the enclave must satisfy one of them. */
    readonly profiles: Profile | readonly Profile[];
    /** Paths, with their queries, that are fetched past the channel: of the page's own origin. */
    readonly bootstrap: readonly string[];
    /** A root instead of AWS's, as PEM; only the dangerous worker takes one. */
    readonly dangerousTrustRoot?: string;
}

const PARAMETER = "steve";

/** The URL of a worker with this configuration. */
export function workerUrl(script: URL, config: WorkerConfig): URL {
    const { origin, profiles, bootstrap, dangerousTrustRoot } = config;
    const json = JSON.stringify({ origin, profiles, bootstrap, dangerousTrustRoot });
    const url = new URL(script);
    url.searchParams.set(PARAMETER, json);
    return url;
}

/** The configuration in a worker's URL, as text to be compared; null if there is none. */
export function configText(url: string): string | null {
    return new URL(url).searchParams.get(PARAMETER);
}

/** Reads the configuration in a worker's URL. */
export function readConfig(url: string): WorkerConfig {
    const text = configText(url);
    if (text === null) throw invalidOptions("the worker was not registered with `registerSteve`");
    return JSON.parse(text) as WorkerConfig;
}

/** Holds bootstrap paths to the rule: exact paths, which may have queries. */
export function checkBootstrap(paths: readonly string[], origin: string): readonly string[] {
    for (const path of paths) {
        const url = URL.canParse(path, origin) ? new URL(path, origin) : undefined;
        if (!path.startsWith("/") || url?.origin !== origin || url.pathname + url.search !== path) {
            throw invalidOptions(
                `"${path}" is no bootstrap path: an exact path, such as /index.html`,
            );
        }
    }
    return paths;
}
