// Bundles a page into one HTML file without outside references.
//   node build.mjs --modules DIR --out FILE [--page report|serve]      DIR holds node_modules (npm ci ran there)
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    modules: { type: "string", default: here },
    out: { type: "string" },
    page: { type: "string", default: "report" },
  },
});
// What differs: where it begins, its look, whom it may talk to, the marks that are filled in later.
const pages = {
  report: { script: "src/main.js", style: "report.css", connect: "", marks: ["__RUNG_TITLE__", "__RUNG_DATA__"] },
  serve: { script: "src/serve.js", style: "serve.css", connect: "connect-src 'self'; ", marks: [] },
};
const page = pages[values.page];
const out = resolve(values.out ?? join(here, "build", `${values.page}.html`));
const modules = resolve(values.modules, "node_modules");
const esbuild = createRequire(join(modules, "..", "package.json"))("esbuild");

const bundled = new Set();

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
    legalComments: "none", // the whole licences stand at the end of the page instead
    logLevel: "warning",
    metafile: true,
  });
  for (const input of Object.keys(result.metafile.inputs)) {
    const package_ = input.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)/);
    if (package_) bundled.add(package_[1]);
  }
  return result.outputFiles[0].text.trim();
}

// Each bundled package with its version, under the text of its licence; equal texts once.
function licences() {
  const by = new Map();
  for (const name of [...bundled].sort()) {
    const dir = join(modules, name), { version, license } = JSON.parse(readFileSync(join(dir, "package.json"), "utf8"));
    const file = readdirSync(dir).find((f) => /^licen[cs]e/i.test(f));
    const text = file ? readFileSync(join(dir, file), "utf8").trim() : license;
    by.set(text, [...(by.get(text) ?? []), `${name} ${version}`]);
  }
  return [...by].map(([text, names]) => `${names.join(", ")}\n\n${text}`).join("\n\n").replaceAll("--", "- -");
}

const script = (await bundle(page.script)).replaceAll("</script", "<\\/script");
const style = await bundle(page.style);
const hash = createHash("sha256").update(script).digest("base64");
// Nothing may be loaded: scripts only by this hash, no frames, no fonts, no connections (the server's page: to the server
// it came from); innerHTML is refused.
const policy = `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; ` +
  `img-src data:; ${page.connect}base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'`;

const html = readFileSync(join(here, `${values.page}.html`), "utf8")
  .replace("__CSP__", () => policy)
  .replace("__STYLE__", () => style)
  .replace("__LICENCES__", licences)
  .replace("__SCRIPT__", () => script);
for (const mark of page.marks)
  if (html.split(mark).length !== 2) throw new Error(`${mark} must occur once in the template`);
mkdirSync(dirname(out), { recursive: true });
writeFileSync(out, html);
