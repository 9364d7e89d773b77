// Drives the server's page in headless Chromium on the tiny model: a question is asked, the tree grows with step scores, two
// methods are compared, a kept search is opened, the console is silent, nothing is asked of anybody else. Pictures of it land in
// BUILD/tests-browser/.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Browser, findChromium } from "./chromium.mjs";

const { RUNG_BUILD_DIR: build, RUNG_BIN: rung, RUNG_SOURCE_DIR: source } = process.env;
const chromium = findChromium();
if (!build || !chromium) {
  console.log(`SKIPPED: ${build ? "no chromium on this machine (Debian: apt-get install chromium)" : "RUNG_BUILD_DIR is not set"}`);
  process.exit(77);
}
const out = join(build, "tests-browser");
mkdirSync(out, { recursive: true });
const question = "Start at 28. +2 -9 x2 +4 +7 +4 +8 -3. Total?";

async function serve(env = {}, folder = mkdtempSync(join(tmpdir(), "rung-page-")), db = "s.db") {
  const child = spawn(rung, ["serve", "--policy", join(source, "models", "tiny.gguf"), "--listen", "127.0.0.1:0", "--split-steps", "line",
    "--threads", "1", "--max-tokens", "80", "--quiet", "--store", join(folder, db)], { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } });
  const url = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (more) => { text += more; if (text.includes("\n")) resolve(text.split("\n")[0]); });
    child.on("exit", (code) => reject(new Error(`rung serve ended (${code})`)));
  });
  for (let i = 0; i < 600; i++) {
    if ((await fetch(`${url}/health`)).ok) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { url, stop: () => new Promise((resolve) => { child.on("exit", (code) => { rmSync(folder, { recursive: true }); resolve(code); }); child.kill("SIGTERM"); }) };
}

async function until(page, expression) {
  for (let i = 0; i < 1200; i++) {
    if (await page.evaluate(expression)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not true after 60 s: ${expression}`);
}

async function open(browser, url, { width = 1200, dark = false } = {}) {
  const page = await browser.page();
  await page.send("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: width < 500 });
  await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
  await page.send("Page.navigate", { url });
  await until(page, "document.querySelector('main')?.dataset.ready !== undefined");
  return page;
}

async function picture(page, name) {
  const { cssContentSize: size } = await page.send("Page.getLayoutMetrics");
  const { data } = await page.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true,
    clip: { x: 0, y: 0, width: size.width, height: Math.min(size.height, 1500), scale: 1 } });
  writeFileSync(join(out, name), Buffer.from(data, "base64"));
}

const complaints = (page) => page.events.filter((e) =>
  e.method === "Runtime.exceptionThrown" ||
  (e.method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(e.params.type)) ||
  (e.method === "Log.entryAdded" && ["error", "warning"].includes(e.params.entry.level)));

const ask = (a, b) => `(() => {
  const q = document.getElementById("question");
  q.value = ${JSON.stringify(question)};
  document.getElementById("method-a").value = ${JSON.stringify(a)};
  document.getElementById("method-b").value = ${JSON.stringify(b)};
  q.focus();
  q.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, bubbles: true }));
})()`;

test("the server's page", { timeout: 280000 }, async (t) => {
  const server = await serve();
  const browser = new Browser(chromium);
  try {
    const page = await open(browser, server.url);
    await t.test("asks by the keyboard; the tree grows with step scores", async () => {
      await page.evaluate(ask("beam", ""));
      await until(page, "document.querySelectorAll('ol.tree li').length > 3");
      await until(page, "document.querySelectorAll('.pane[data-done=true]').length === 1");
      const seen = await page.evaluate(`({
        states: document.querySelectorAll("ol.tree li").length,
        scored: [...document.querySelectorAll("ol.tree .value")].filter((v) => /^[01]\\.\\d\\d$/.test(v.textContent)).length,
        left: document.querySelectorAll("li.pruned").length, chosen: document.querySelectorAll("li.chosen").length,
        answer: document.querySelector(".answer").textContent, final: document.querySelector(".final").textContent,
        status: document.querySelector("[role=status]").textContent, failures: document.querySelectorAll(".problem").length })`);
      assert.ok(seen.states > 8 && seen.scored > 8 && seen.chosen > 3, JSON.stringify(seen));
      assert.match(seen.answer, /28\+2=30/);
      assert.match(seen.final, /^-?\d+$/);
      assert.match(seen.status, /beam answers/);
      assert.equal(seen.failures, 0);
    });
    await t.test("compares two methods side by side", async () => {
      await page.evaluate(ask("beam", "mcts_uct"));
      await until(page, "document.querySelectorAll('.pane[data-done=true]').length === 2");
      const left = await page.evaluate("[...document.querySelectorAll('.pane')].map((p) => p.getBoundingClientRect().left)");
      assert.ok(left[1] > left[0] + 200, `side by side: ${left}`);
      await picture(page, "serve-light.png");
    });
    await t.test("a kept search is opened again", async () => {
      await until(page, "document.querySelector('section[aria-label=Kept] button.link') !== null");
      await page.evaluate("document.querySelector('section[aria-label=Kept] button.link').click()");
      await until(page, "document.querySelectorAll('section[aria-label=Kept] table').length === 2");
      await page.evaluate("[...document.querySelectorAll('section[aria-label=Kept] table')].at(-1).querySelector('button.link').click()");
      await until(page, "document.querySelector('.pane[data-tree]')?.querySelectorAll('li').length > 3");
      assert.equal(await page.evaluate("document.activeElement.dataset.tree !== undefined"), true, "focus goes to what was opened");
    });
    await t.test("everything has a name and can be reached by the keyboard", async () => {
      const bad = await page.evaluate(`[...document.querySelectorAll("input, select, textarea, button, a[href]")].filter((e) =>
        !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label")) || e.tabIndex < 0).map((e) => e.outerHTML)`);
      assert.deepEqual(bad, []);
    });
    await t.test("the console is silent, and only this server was asked", () => {
      assert.deepEqual(complaints(page).map((e) => JSON.stringify(e.params).slice(0, 300)), []);
      const others = page.events.filter((e) => e.method === "Network.requestWillBeSent").map((e) => e.params.request.url)
        .filter((u) => !u.startsWith(server.url) && !u.startsWith("data:") && u !== "about:blank");
      assert.deepEqual(others, []);
    });
    await t.test("narrow and dark: nothing is cut off", async () => {
      const narrow = await open(browser, server.url, { width: 390, dark: true });
      await narrow.evaluate(ask("beam", "sc"));
      await until(narrow, "document.querySelectorAll('.pane[data-done=true]').length === 2");
      await picture(narrow, "serve-narrow-dark.png");
      const wide = await narrow.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
      assert.ok(wide <= 0, `${wide} pixels too wide`);
      const dark = await narrow.evaluate("getComputedStyle(document.body).backgroundColor");
      assert.ok(dark.match(/\d+/g).slice(0, 3).every((v) => Number(v) < 60), dark);
      assert.deepEqual(complaints(narrow).map((e) => JSON.stringify(e.params).slice(0, 300)), []);
    });
  } finally {
    await browser.close();
    assert.equal(await server.stop(), 0);
  }
});

// The recipe of the tour, small: a store with traces, labels, reward models, measurements and curves, and a search of the page's own.
test("stored runs: the report", { timeout: 580000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rung-page-"));
  execFileSync(rung, ["run", join(source, "recipes", "demo.yaml"), "--quick", "--set", "train=10", "--set", "test=8", "--set", "n=4", "--no-report", "--out", folder,
    "--quiet", "--threads", "1"], { stdio: ["ignore", "ignore", "inherit"], cwd: folder });
  const server = await serve({}, folder, "rung.db");
  const browser = new Browser(chromium);
  const drawn = "document.querySelector('main')?.dataset.ready === 'true'";
  const show = async (options) => {
    const page = await open(browser, server.url, options);
    await until(page, `document.querySelector('a[href="/report"]') !== null`);
    await page.evaluate("(() => { const a = document.querySelector('a[href=\"/report\"]'); a.removeAttribute('target'); a.click(); })()"); // else in a tab of its own
    await until(page, `location.pathname === "/report" && ${drawn} && document.querySelectorAll("figure").length > 0`);
    await page.evaluate("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))");
    return page;
  };
  try {
    const page = await show({});
    await picture(page, "serve-report-light.png");
    await t.test("the page's link opens it: curves, calibration, step strips, runs", async () => {
      const seen = await page.evaluate(`({
        figures: [...document.querySelectorAll("figure")].map((f) => f.querySelector("figcaption")?.textContent ?? f.querySelector(".plot svg")?.getAttribute("aria-label") ?? ""),
        marks: [...document.querySelectorAll("figure .plot svg")].map((v) => v.querySelectorAll("path, circle, line, rect").length),
        examples: document.querySelectorAll(".example").length, steps: document.querySelectorAll(".strip li").length,
        captions: [...document.querySelectorAll("table caption")].map((c) => c.textContent), text: document.body.innerText })`);
      const figures = seen.figures.join("|").toLowerCase();
      for (const word of ["majority vote", "exact step labels. on the dotted line", "train/loss", "first wrong step"]) assert.ok(figures.includes(word), `${word}: ${figures}`);
      assert.ok(seen.marks.length >= 3 && seen.marks.every((n) => n >= 3), JSON.stringify(seen.marks));
      assert.ok(seen.examples > 0 && seen.steps > 10, JSON.stringify([seen.examples, seen.steps]));
      assert.ok(seen.captions.some((c) => c.startsWith("Every method")) && seen.captions.some((c) => c.startsWith("Every stage")), seen.captions.join("|"));
      assert.ok(!/NaN|undefined|\[object|could not be drawn/.test(seen.text));
    });
    await t.test("by the keyboard: tables behind figures open, everything has a name", async () => {
      const bad = await page.evaluate(`[...document.querySelectorAll("input, select, button, a[href], summary")].filter((e) =>
        !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label")) || e.tabIndex < 0).map((e) => e.outerHTML.slice(0, 200))`);
      assert.deepEqual(bad, []);
      await page.evaluate("document.querySelector('figure summary').focus()");
      await page.send("Input.dispatchKeyEvent", { type: "keyDown", key: "Enter", code: "Enter", windowsVirtualKeyCode: 13, text: "\r" });
      await page.send("Input.dispatchKeyEvent", { type: "keyUp", key: "Enter", code: "Enter", windowsVirtualKeyCode: 13 });
      await until(page, "document.querySelector('figure details').open");
    });
    await t.test("the console is silent, and only this server was asked", () => {
      assert.deepEqual(complaints(page).map((e) => JSON.stringify(e.params).slice(0, 300)), []);
      const others = page.events.filter((e) => e.method === "Network.requestWillBeSent").map((e) => e.params.request.url)
        .filter((u) => !u.startsWith(server.url) && !u.startsWith("data:") && u !== "about:blank");
      assert.deepEqual(others, []);
    });
    await t.test("narrow and dark", async () => {
      const narrow = await show({ width: 390, dark: true });
      await picture(narrow, "serve-report-narrow-dark.png");
      const wide = await narrow.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
      assert.ok(wide <= 0, `${wide} pixels too wide`);
      const dark = await narrow.evaluate("getComputedStyle(document.body).backgroundColor");
      assert.ok(dark.match(/\d+/g).slice(0, 3).every((v) => Number(v) < 60), dark);
    });
  } finally {
    await browser.close();
    assert.equal(await server.stop(), 0);
  }
});

test("with a token", { timeout: 120000 }, async () => {
  const server = await serve({ RUNG_SERVE_TOKEN: "s3cret" });
  const browser = new Browser(chromium);
  try {
    const page = await open(browser, server.url);
    assert.equal(await page.evaluate("document.querySelector('main').dataset.ready"), "token");
    await page.evaluate(`(() => { document.querySelector("input[type=password]").value = "s3cret"; document.querySelector("form").requestSubmit(); })()`);
    await until(page, "document.querySelector('main').dataset.ready === 'true'");
  } finally {
    await browser.close();
    await server.stop();
  }
});
