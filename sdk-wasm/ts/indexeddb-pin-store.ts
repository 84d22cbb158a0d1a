import { checkPin, type Pin, type PinStore } from "./pin-store.js";

const STORE = "pins";

/**
 * Pins in an IndexedDB of this web origin.
 *
 * Browsers may clear it, with the site's other data or for want of space;
 * `navigator.storage.persist()` asks them not to do the latter.
 */
export class IndexedDbPinStore implements PinStore {
    readonly #name: string;

    /** `name` is that of the database. */
    constructor(name = "steve-sdk") {
        this.#name = name;
    }

    async load(origin: string): Promise<Pin | undefined> {
        return this.#transaction("readonly", async (pins) => {
            const found: unknown = await finished(pins.get(origin));
            return found === undefined ? undefined : checkPin(found, origin);
        });
    }

    async record(origin: string, pin: Pin): Promise<Pin> {
        return this.#transaction("readwrite", async (pins) => {
            const found: unknown = await finished(pins.get(origin));
            if (found !== undefined) return checkPin(found, origin);
            await finished(pins.add(pin, origin));
            return pin;
        });
    }

    /** Resolves when the transaction is durable. */
    async #transaction<T>(
        mode: IDBTransactionMode,
        work: (pins: IDBObjectStore) => Promise<T>,
    ): Promise<T> {
        const opening = indexedDB.open(this.#name, 1);
        opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
        const database = await finished(opening);
        try {
            const transaction = database.transaction(STORE, mode, { durability: "strict" });
            const complete = new Promise<void>((resolve, reject) => {
                transaction.oncomplete = () => resolve();
                transaction.onabort = () => reject(transaction.error);
            });
            const [result] = await Promise.all([work(transaction.objectStore(STORE)), complete]);
            return result;
        } finally {
            database.close();
        }
    }
}

function finished<T>(request: IDBRequest<T>): Promise<T> {
    return new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}
