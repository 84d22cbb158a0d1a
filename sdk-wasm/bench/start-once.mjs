/** One run of start.mjs: prints the milliseconds of CPU time of each phase as JSON. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { origin, root } = JSON.parse(process.argv[2]);
const directory = await mkdtemp(join(tmpdir(), "steve-start-"));
const phases = {};

const cpu = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
};
const began = cpu();
phases["Node itself, before"] = began;
let last = began;
const phase = (name) => {
    phases[name] = cpu() - last;
    last = cpu();
};

const [{ connect }, { FilePinStore }] = await Promise.all([
    import("steve-sdk/dangerous-development"),
    import("steve-sdk/node"),
]);
phase("import");
const file = new FilePinStore(join(directory, "pins.json"));
const store = {
    load(name) {
        phase("core, and evidence fetched");
        return file.load(name);
    },
    async record(name, pin) {
        phase("appraisal");
        const recorded = await file.record(name, pin);
        phase("pin stored");
        return recorded;
    },
};
const steve = await connect({
    origin,
    policy: { trustOnFirstUse: store },
    dangerousTrustRoot: root,
});
phase("handshake");
phases["import to verified session"] = cpu() - began;

store.load = (name) => file.load(name);
const rounds = [];
for (let round = 0; round < 40; round += 1) {
    const from = cpu();
    await steve.verify();
    rounds.push(cpu() - from);
}
phases["evidence again, warm"] = rounds.slice(20).sort((a, b) => a - b)[10];
last = cpu();
await (await steve.fetch("/head")).text();
phase("first request after that");
steve.close();
await rm(directory, { recursive: true });
console.log(JSON.stringify(phases));
