declare module "*.wasm" {
    /** Its bytes: they are in the script, so the browser keeps both, and updates both as one. */
    const bytes: Uint8Array<ArrayBuffer>;
    export default bytes;
}

/** The release. */
declare const STEVE_VERSION: string;
