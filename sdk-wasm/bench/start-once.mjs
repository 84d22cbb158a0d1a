/** One run of start.mjs: prints the milliseconds of CPU time of each phase as JSON. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { origin, root, profile } = JSON.parse(process.argv[2]);
const directory = await mkdtemp(join(tmpdir(), "steve-start-"));
const phases = {};

let last = process.cpuUsage();
const began = last;
const since = (from) => {
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
};
const phase = (name) => {
    phases[name] ??= since(last);
    last = process.cpuUsage();
};

const [{ connect }, { FilePinStore }] = await Promise.all([
    import("steve-sdk/dangerous-development"),
    import("steve-sdk/node"),
]);
phase("import");
const on = {
    verified: () => phase("evidence, verified"),
    session: () => phase("handshake"),
};
const store = new FilePinStore(join(directory, "pins.json"));
const steve = await connect({
    origin,
    policy: process.argv[3] === "pinned" ? { profiles: [profile] } : { trustOnFirstUse: store },
    dangerousTrustRoot: root,
    on,
});
phase("connected");
phases["import to verified session"] = since(began);

if (process.env.ONCE === undefined) for (const name of ["evidence again, verified", "and again", "and once more"]) {
    const from = process.cpuUsage();
    await steve.verify();
    phases[name] = since(from);
}
steve.close();
await rm(directory, { recursive: true });
console.log(JSON.stringify(phases));
