import { mkdir, open, readFile, rename, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { checkPin, type Pin, type PinStore } from "./pin-store.js";

const VERSION = 1;
const LOCK_TRIES = 200;
const LOCK_WAIT_MS = 25;

/** As the Rust SDK's store has it, so that both can share a file, though not at the same moment. */
interface Stored {
    version: number;
    pins: Record<string, { first_seen_ms: number; pcrs: Record<string, string> }>;
}

/**
 * Pins in a JSON file.
 *
 * The file is replaced as a whole, after its successor has reached the disk; a directory beside it
 * (`.locked`) keeps processes from losing each other's records. A damaged file is an error and
 * stays as it is: starting anew would trust whoever comes next.
 */
export class FilePinStore implements PinStore {
    readonly #path: string;

    /** The file is made with the first record. Its directory must exist. */
    constructor(path: string) {
        this.#path = path;
    }

    async load(origin: string): Promise<Pin | undefined> {
        return pinIn(await this.#read(), origin);
    }

    async record(origin: string, pin: Pin): Promise<Pin> {
        return this.#locked(async () => {
            const stored = await this.#read();
            const found = pinIn(stored, origin);
            if (found !== undefined) return found;
            stored.pins[origin] = { first_seen_ms: pin.firstSeen, pcrs: { ...pin.pcrs } };
            await this.#replace(`${JSON.stringify(stored, undefined, 2)}\n`);
            return pin;
        });
    }

    async #read(): Promise<Stored> {
        let text: string;
        try {
            text = await readFile(this.#path, "utf8");
        } catch (error) {
            if ((error as NodeJS.ErrnoException).code === "ENOENT")
                return { version: VERSION, pins: {} };
            throw error;
        }
        const stored = JSON.parse(text) as Partial<Stored> | null;
        if (stored?.version !== VERSION || !isRecord(stored.pins)) {
            throw new Error("this is not a store of pins of version 1");
        }
        return stored as Stored;
    }

    async #replace(text: string): Promise<void> {
        const successor = `${this.#path}.${process.pid}.tmp`;
        const file = await open(successor, "w", 0o600);
        try {
            await file.writeFile(text);
            await file.sync();
        } finally {
            await file.close();
        }
        await rename(successor, this.#path);
        // The new name is durable when its directory is. Not every system can sync a directory.
        if (process.platform === "win32") return;
        const directory = await open(dirname(this.#path), "r");
        await directory.sync().finally(() => directory.close());
    }

    /** A directory is made by one process only. One that died with it has to be removed by hand. */
    async #locked<T>(work: () => Promise<T>): Promise<T> {
        const lock = `${this.#path}.locked`;
        for (let tries = 1; ; tries += 1) {
            try {
                await mkdir(lock);
                break;
            } catch (error) {
                if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
                if (tries >= LOCK_TRIES)
                    throw new Error(`${lock} is there; remove it if no process uses the store`);
                await new Promise((resolve) => setTimeout(resolve, LOCK_WAIT_MS));
            }
        }
        try {
            return await work();
        } finally {
            await rmdir(lock);
        }
    }
}

function pinIn(stored: Stored, origin: string): Pin | undefined {
    if (!Object.hasOwn(stored.pins, origin)) return undefined;
    const found = stored.pins[origin];
    return checkPin({ firstSeen: found?.first_seen_ms, pcrs: found?.pcrs }, origin);
}

function isRecord(value: unknown): value is Record<string, never> {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}
