/** Memory of Chromium's processes. */

import { readdir, readFile } from "node:fs/promises";

/** The resident sets of all renderers below this process, in bytes. */
async function renderers() {
    const parents = new Map();
    const found = [];
    for (const pid of (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name))) {
        try {
            const [stat, command] = await Promise.all([
                readFile(`/proc/${pid}/stat`, "utf8"),
                readFile(`/proc/${pid}/cmdline`, "utf8"),
            ]);
            const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
            parents.set(Number(pid), Number(fields[1]));
            if (command.includes("--type=renderer")) {
                found.push({ pid: Number(pid), size: Number(fields[21]) * 4096 });
            }
        } catch {
            // It has ended in the meantime.
        }
    }
    const isOurs = (pid) => pid === process.pid || (parents.has(pid) && isOurs(parents.get(pid)));
    return found.filter(({ pid }) => isOurs(pid)).reduce((sum, { size }) => sum + size, 0);
}

/** Runs `work`; gives by how many bytes all renderers grew meanwhile, at most. */
export async function growth(work) {
    const before = await renderers();
    let most = before;
    const timer = setInterval(async () => (most = Math.max(most, await renderers())), 100);
    try {
        await work();
    } finally {
        clearInterval(timer);
    }
    return most - before;
}
