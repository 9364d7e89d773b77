// Opens a report in headless Chromium: figures and tables are there, the console is silent, nothing is
// fetched, text written by a model stays text. Pictures of it land in BUILD/tests-browser/.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { Browser, findChromium } from "./chromium.mjs";

const build = process.env.RUNG_BUILD_DIR;
const chromium = findChromium();
if (!build || !chromium) {
  console.log(`SKIPPED: ${build ? "no chromium on this machine (Debian: apt-get install chromium)" : "RUNG_BUILD_DIR is not set"}`);
  process.exit(77);
}

const out = join(build, "tests-browser");
mkdirSync(out, { recursive: true });
const file = process.env.RUNG_REPORT ?? execFileSync(join(build, "bin", "make_report"), [out], { encoding: "utf8" }).trim();
const isFixture = !process.env.RUNG_REPORT;

async function until(page, expression) {
  for (let i = 0; i < 1200; i++) {
    if (await page.evaluate(expression)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not true after 60 s: ${expression}`);
}

async function open(browser, { width = 1100, dark = false, at = file } = {}) {
  const page = await browser.page();
  await page.send("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: width < 500 });
  await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
  await page.send("Page.navigate", { url: pathToFileURL(at).href });
  await until(page, "document.readyState === 'complete' && (document.querySelector('main')?.dataset.ready === 'true' || document.body?.innerText.includes('could not be drawn'))");
  await page.evaluate("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))");
  return page;
}

async function picture(page, name) {
  const { cssContentSize: size } = await page.send("Page.getLayoutMetrics");
  const { data } = await page.send("Page.captureScreenshot", {
    format: "png", captureBeyondViewport: true, clip: { x: 0, y: 0, width: size.width, height: Math.min(size.height, 12000), scale: 1 },
  });
  writeFileSync(join(out, name), Buffer.from(data, "base64"));
}

const complaints = (page) => page.events.filter((e) =>
  e.method === "Runtime.exceptionThrown" ||
  (e.method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(e.params.type)) ||
  (e.method === "Log.entryAdded" && ["error", "warning"].includes(e.params.entry.level)));
const requests = (page) => page.events.filter((e) => e.method === "Network.requestWillBeSent")
  .map((e) => e.params.request.url).filter((u) => !u.startsWith("data:") && u !== pathToFileURL(file).href && u !== "about:blank");

test("the report in a browser", { timeout: 280000 }, async (t) => {
  const browser = new Browser(chromium);
  try {
    const page = await open(browser);
    await picture(page, "report-light.png");

    await t.test("figures have marks and a name", async () => {
      const figures = await page.evaluate(`[...document.querySelectorAll("figure")].map((f) => {
        const svg = f.querySelector(".plot svg");
        return { label: svg?.getAttribute("aria-label") ?? "", role: svg?.getAttribute("role"),
          marks: svg ? svg.querySelectorAll("path, circle, line, rect").length : 0,
          broken: svg ? /NaN|undefined/.test(svg.outerHTML) : true,
          rows: f.querySelectorAll("details table tbody tr").length, details: !!f.querySelector("details") };
      })`);
      assert.ok(figures.length >= (isFixture ? 8 : 2), `${figures.length} figures`);
      for (const f of figures) {
        assert.equal(f.role, "img");
        assert.ok(f.label.length > 20, `label: ${f.label}`);
        assert.ok(f.marks >= 5, `${f.label}: ${f.marks} marks`);
        assert.ok(!f.broken, `${f.label}: NaN or undefined in its drawing`);
        if (f.details) assert.ok(f.rows > 0, `${f.label}: an empty table`);
      }
    });

    await t.test("tables: the methods, the ledger", async () => {
      const tables = await page.evaluate(`[...document.querySelectorAll("table")].map((t) =>
        ({ caption: t.caption?.textContent ?? "", rows: t.tBodies[0].rows.length, text: t.innerText }))`);
      assert.ok(tables.every((x) => x.caption && x.rows > 0), "each table has a caption and rows");
      const methods = tables.find((x) => x.caption.startsWith("Every method"));
      for (const name of ["One sample", "Majority vote"]) assert.ok(methods.text.includes(name), name);
      if (isFixture) for (const name of ["Best of n by step scores", "Greedy", "Any sample right"]) assert.ok(methods.text.includes(name), name);
      assert.match(methods.text, /\[\d+\.\d, \d+\.\d\]/);
      assert.ok(tables.some((x) => x.caption.startsWith("Every stage")), "ledger");
      assert.ok(!/NaN|undefined|\[object/.test(await page.evaluate("document.body.innerText")), "no NaN, undefined or [object");
    });

    await t.test("searches: a curve against each cost, their trees", { skip: !isFixture }, async () => {
      const s = await page.evaluate(`(() => { const e = document.getElementById("searches"); return {
        labels: [...e.querySelectorAll("figure .plot svg")].map((x) => x.getAttribute("aria-label")),
        lines: [...e.querySelectorAll("figure .plot svg")].map((x) => x.querySelectorAll('g[aria-label="line"] path').length),
        dots: [...e.querySelectorAll("figure .plot svg")].map((x) => x.querySelectorAll("circle").length),
        rows: e.querySelectorAll("figure details table tbody tr").length,
        key: [...e.querySelectorAll("ul.key li")].map((x) => x.textContent),
        trees: [...e.querySelectorAll("ol.tree")].map((x) => ({ states: x.querySelectorAll("li").length, nested: x.querySelectorAll("li li").length,
          chosen: x.querySelectorAll("li.chosen").length, pruned: x.querySelectorAll("li.pruned").length, text: x.innerText })),
        ticks: [...e.querySelectorAll('figure .plot svg g[aria-label="x-axis tick label"] text')].map((x) => x.textContent),
        shares: [...e.querySelectorAll("figure .plot svg")].map((x) => [...x.querySelectorAll('g[aria-label="y-axis tick label"] text')].map((y) => y.textContent)),
        markup: e.querySelectorAll("ol.tree b").length }; })()`);
      assert.ok(s.ticks.includes("200") && s.ticks.includes("1k"), s.ticks.join(" "));
      for (const y of s.shares) assert.equal(new Set(y).size, y.length, `the same number at two places: ${y}`);
      assert.equal(s.labels.length, 3);
      for (const [i, word] of ["tokens", "FLOPs", "seconds"].entries()) assert.ok(s.labels[i].includes(word), s.labels[i]);
      assert.deepEqual(s.dots, [4, 4, 4]);
      assert.deepEqual(s.lines, [2, 2, 2]);
      assert.equal(s.rows, 4);
      assert.equal(s.key.length, 2);
      assert.equal(s.trees.length, 2);
      for (const x of s.trees) {
        assert.deepEqual([x.states, x.nested, x.chosen, x.pruned], [4, 2, 2, 1]);
        assert.ok(x.text.includes("</script><b>bold</b>"), x.text);
        assert.match(x.text, /0\.75/);
      }
      assert.equal(s.markup, 0, "a step's text is never markup");
    });

    await t.test("ten solutions as strips", async () => {
      const s = await page.evaluate(`({ n: document.querySelectorAll(".example").length, steps: document.querySelectorAll(".strip li").length,
        wrong: document.querySelectorAll(".strip li.first-wrong").length, coloured: [...document.querySelectorAll(".strip .score")].filter((e) => getComputedStyle(e).backgroundColor !== "rgba(0, 0, 0, 0)").length,
        labels: [...document.querySelectorAll(".strip .label")].map((e) => e.textContent).join("|") })`);
      assert.equal(s.n, 10);
      assert.ok(s.steps >= 20 && s.coloured > 0);
      if (isFixture) {
        assert.ok(s.wrong >= 4 && s.coloured === s.steps, JSON.stringify(s));
        assert.match(s.labels, /first wrong step/);
        assert.match(s.labels, /MC \d\/8/);
      }
    });

    await t.test("model text stays text", { skip: !isFixture }, async () => {
      assert.equal(await page.evaluate("document.title"), "Sums </title><script>document.title='owned'</script>");
      assert.equal(await page.evaluate("document.querySelectorAll('main img, main script, main b img').length"), 0);
      assert.ok((await page.evaluate("document.body.innerText")).includes("</script><script>document.title='owned'</script><!--"));
      const html = readFileSync(file, "utf8");
      assert.equal(html.match(/<script/g).length, 2);
      assert.ok(!html.includes("<img"), "no markup in the data");
    });

    await t.test("the console is silent and nothing is fetched", async () => {
      assert.deepEqual(complaints(page).map((e) => JSON.stringify(e.params).slice(0, 300)), []);
      assert.deepEqual(requests(page), []);
    });

    await t.test("a fetch would be refused", async () => {
      const refused = await page.evaluate(`new Promise((resolve) => {
        addEventListener("securitypolicyviolation", (e) => resolve(e.effectiveDirective));
        fetch("http://127.0.0.1:9/").catch(() => setTimeout(() => resolve("not by the policy"), 500));
      })`);
      assert.equal(refused, "connect-src");
      const markup = await page.evaluate("(() => { try { document.createElement('p').innerHTML = '<i>x</i>'; return 'taken'; } catch { return 'refused'; } })()");
      assert.equal(markup, "refused");
      assert.ok(complaints(page).length > 0, "and this test would have seen it");
    });

    await t.test("dark", async () => {
      const dark = await open(browser, { dark: true });
      const colours = await dark.evaluate(`[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]
        .map((c) => c.match(/\\d+/g).slice(0, 3).reduce((a, v) => a + Number(v), 0))`);
      assert.ok(colours[0] < 150 && colours[1] > 550, `paper ${colours[0]}, ink ${colours[1]}`);
      await picture(dark, "report-dark.png");
    });

    await t.test("narrow", async () => {
      const narrow = await open(browser, { width: 390 });
      assert.ok(await narrow.evaluate("document.documentElement.scrollWidth") <= 390, "no sideways scrolling of the page");
      await picture(narrow, "report-narrow.png");
    });

    await t.test("a store with next to nothing in it", { skip: !isFixture }, async () => {
      const bare = await open(browser, { at: join(out, "bare.html") });
      const text = await bare.evaluate("document.body.innerText");
      assert.ok(text.includes("5 problems") && text.includes("Not measured:"), text.slice(0, 300));
      assert.ok(!/NaN|undefined|\[object|could not be drawn/.test(text), "no NaN, undefined or [object");
      assert.equal(await bare.evaluate("document.querySelectorAll('.example').length"), 5);
      assert.deepEqual(complaints(bare).map((e) => JSON.stringify(e.params).slice(0, 300)), []);
      await picture(bare, "bare.png");
    });

    await t.test("a store with searches alone", { skip: !isFixture }, async () => {
      const alone = await open(browser, { at: join(out, "searched.html") });
      const text = await alone.evaluate("document.body.innerText");
      assert.ok(text.includes("Searched") && text.includes("How they searched"), text.slice(0, 300));
      assert.ok(!/NaN|undefined|\[object|could not be drawn/.test(text), "no NaN, undefined or [object");
      assert.equal(await alone.evaluate("document.querySelectorAll('ol.tree li').length"), 4);
      assert.deepEqual(complaints(alone).map((e) => JSON.stringify(e.params).slice(0, 300)), []);
      await picture(alone, "searched.png");
    });

    await t.test("print opens the tables", async () => {
      const { data } = await page.send("Page.printToPDF", { printBackground: true });
      const pdf = Buffer.from(data, "base64");
      writeFileSync(join(out, "report.pdf"), pdf);
      assert.ok(pdf.length > 20000);
      await page.evaluate("dispatchEvent(new Event('beforeprint'))");
      assert.equal(await page.evaluate("document.querySelectorAll('details:not([open])').length"), 0);
      await page.evaluate("dispatchEvent(new Event('afterprint'))");
      assert.ok(await page.evaluate("document.querySelectorAll('details:not([open])').length") > 0);
    });
  } finally {
    await browser.close();
  }
});
