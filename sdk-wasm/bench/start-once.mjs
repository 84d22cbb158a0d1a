/** One run of start.mjs: prints the milliseconds of CPU time of each phase as JSON. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { origin, root, profile } = JSON.parse(process.argv[2]);
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

const [{ connect }, node] = await Promise.all([
    import("steve-sdk/dangerous-development"),
    profile === undefined ? import("steve-sdk/node") : undefined,
]);
phase("import");
let connecting = true;
const steve = await connect({
    origin,
    policy: profile === undefined ? { trustOnFirstUse: fileStore() } : { profiles: profile },
    dangerousTrustRoot: root,
    on: {
        verified() {
            if (!connecting) return;
            phase(profile === undefined ? "pin stored" : "core, evidence, appraisal");
        },
    },
});
phase("handshake");
phases["import to verified session"] = cpu() - began;

connecting = false;
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

function fileStore() {
    const file = new node.FilePinStore(join(directory, "pins.json"));
    return {
        load(name) {
            if (connecting) phase("core, and evidence fetched");
            return file.load(name);
        },
        record(name, pin) {
            phase("appraisal");
            return file.record(name, pin);
        },
    };
}
