// Bundles the pages into dist/, with the licences of everything that is in the bundles.
//
//   npm ci && npm run build
//
// The hub's own client is not bundled: the server hands out the file that is installed with treadle.

import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

/** The folders of the packages that went into the bundles. */
function packagesOf(inputs) {
  const found = new Set();
  for (const input of Object.keys(inputs)) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) found.add(match[1]);
  }
  return [...found].sort();
}

/** Name, version and licence of each package, in full. */
async function licencesOf(folders) {
  const parts = [];
  for (const folder of folders) {
    const { name, version, license } = JSON.parse(
      await readFile(join(here, folder, "package.json"), "utf8"),
    );
    const file = (await readdir(join(here, folder))).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} comes without a licence`);
    const text = await readFile(join(here, folder, file), "utf8");
    parts.push(`${name} ${version} (${license})\n\n${text.trim()}\n`);
  }
  return parts.join(`\n${"-".repeat(78)}\n\n`);
}

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: (await readdir(join(here, "src"))).map((name) => `src/${name}`),
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  minify: true,
  sourcemap: true,
  target: "es2022",
  external: ["/treadle-hub.js"],
  metafile: true,
  logLevel: "warning",
});
await cp(join(here, "pages"), dist, { recursive: true });
await writeFile(join(dist, "licences.txt"), await licencesOf(packagesOf(metafile.inputs)));
