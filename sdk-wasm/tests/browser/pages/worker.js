import * as sdk from "/sdk/dangerous-development.js";
import { table } from "./table.js";

onmessage = async ({ data: { options, name } }) => {
    try {
        const steve = await sdk.connect(options);
        await table[name](steve, sdk);
        steve.close();
        postMessage("done");
    } catch (error) {
        postMessage(String(error));
    }
};
