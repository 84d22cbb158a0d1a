/** Memory of Chromium's processes. */

import { readdir, readFile } from "node:fs/promises";

/** The largest resident set of the renderers below this process, in bytes. */
async function largestRenderer() {
    const parents = new Map();
    const renderers = [];
    for (const pid of (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name))) {
        try {
            const [stat, command] = await Promise.all([
                readFile(`/proc/${pid}/stat`, "utf8"),
                readFile(`/proc/${pid}/cmdline`, "utf8"),
            ]);
            const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
            parents.set(Number(pid), Number(fields[1]));
            if (command.includes("--type=renderer")) {
                renderers.push({ pid: Number(pid), size: Number(fields[21]) * 4096 });
            }
        } catch {
            // It has ended in the meantime.
        }
    }
    const isOurs = (pid) => pid === process.pid || (parents.has(pid) && isOurs(parents.get(pid)));
    return Math.max(0, ...renderers.filter(({ pid }) => isOurs(pid)).map(({ size }) => size));
}

/** Runs `work`; gives by how many bytes the largest renderer grew meanwhile, at most. */
export async function growth(work) {
    const before = await largestRenderer();
    let most = before;
    const timer = setInterval(async () => (most = Math.max(most, await largestRenderer())), 100);
    try {
        await work();
    } finally {
        clearInterval(timer);
    }
    return most - before;
}
