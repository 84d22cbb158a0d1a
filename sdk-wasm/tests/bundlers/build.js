/** `node build.js DIRECTORY`: production builds of the app, by Vite and by webpack. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import webpack from "webpack";

const here = fileURLToPath(new URL(".", import.meta.url));
const directory = process.argv[2];

await build({
    root: here,
    configFile: false,
    logLevel: "warn",
    build: { outDir: join(directory, "vite"), emptyOutDir: true, target: "es2022" },
});

const output = join(directory, "webpack");
const stats = await new Promise((resolve, reject) => {
    const config = {
        mode: "production",
        context: here,
        entry: "./main.js",
        output: { path: output, filename: "main.js", clean: true, module: true },
        // The module alone is larger than what it warns of.
        performance: false,
        experiments: { outputModule: true },
    };
    webpack(config, (error, stats) => (error ? reject(error) : resolve(stats)));
});
if (stats.hasErrors() || stats.hasWarnings()) throw new Error(stats.toString("errors-warnings"));
const page = `<!doctype html><title>starting</title><script type="module" src="/main.js"></script>`;
await writeFile(join(output, "index.html"), page);
