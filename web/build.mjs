// Bundles the report into one HTML file without outside references.
//   node build.mjs --modules DIR --out FILE      DIR holds node_modules (npm ci ran there)
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    modules: { type: "string", default: here },
    out: { type: "string", default: join(here, "build", "report.html") },
  },
});
const modules = resolve(values.modules, "node_modules");
const esbuild = createRequire(join(modules, "..", "package.json"))("esbuild");

async function bundle(entry) {
  const result = await esbuild.build({
    entryPoints: [join(here, entry)],
    nodePaths: [modules],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    target: ["es2020"],
    charset: "ascii", // the C array that holds this stays plain text
    legalComments: "none",
    logLevel: "warning",
  });
  return result.outputFiles[0].text.trim();
}

const script = (await bundle("src/main.js")).replaceAll("</script", "<\\/script");
const style = await bundle("style.css");
const hash = createHash("sha256").update(script).digest("base64");
// Nothing may be loaded: scripts only by this hash, no connections, no frames, no fonts.
const policy = `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; ` +
  "img-src data:; base-uri 'none'; form-action 'none'";

const html = readFileSync(join(here, "report.html"), "utf8")
  .replace("__CSP__", () => policy)
  .replace("__STYLE__", () => style)
  .replace("__SCRIPT__", () => script);
for (const mark of ["__RUNG_TITLE__", "__RUNG_DATA__"])
  if (html.split(mark).length !== 2) throw new Error(`${mark} must occur once in the template`);
mkdirSync(dirname(resolve(values.out)), { recursive: true });
writeFileSync(values.out, html);
