/** The service worker, with AWS's attestation root. */

import { browserPlatform } from "../dist/browser.js";
import { connectOn } from "../dist/connect.js";
import * as core from "../dist/generated/core/steve_wasm.js";
import bytes from "../dist/generated/core/steve_wasm_bg.wasm";
import { invalidOptions } from "../dist/errors.js";
import { serve } from "./serve.js";

const platform = browserPlatform(async () => {
    await core.default({ module_or_path: bytes });
    return core;
});

serve(async ({ dangerousTrustRoot }, options) => {
    if (dangerousTrustRoot !== undefined)
        throw invalidOptions("this worker trusts AWS's root only");
    return connectOn(platform, options);
});
