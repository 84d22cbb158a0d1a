/** The service worker, with an attestation root of the caller's choice: proves nothing. */

import { browserPlatform } from "../dist/browser.js";
import { connectOn } from "../dist/connect.js";
import { rootHash } from "../dist/dangerous-root.js";
import { invalidOptions } from "../dist/errors.js";
import * as core from "../dist/generated/dangerous/steve_wasm.js";
import bytes from "../dist/generated/dangerous/steve_wasm_bg.wasm";
import { serve } from "./serve.js";

const platform = browserPlatform(async () => {
    await core.default({ module_or_path: bytes });
    return core;
});

serve(async ({ dangerousTrustRoot }, options) => {
    if (dangerousTrustRoot === undefined)
        throw invalidOptions("this worker needs a dangerous root");
    return connectOn(platform, options, await rootHash(dangerousTrustRoot));
});
