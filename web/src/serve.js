// The server's page: ask, watch the search, compare two methods, look at what is kept.
import { Api } from "./api.js";
import { h } from "./dom.js";
import { Pane } from "./pane.js";
import { runs } from "./runs.js";

const main = document.getElementById("ask");
const api = new Api();

function field(name, control) {
  const label = h("label", null, name);
  label.append(control);
  return label;
}

function methodSelect(id, methods, chosen, none) {
  const select = h("select", { id });
  if (none) select.append(h("option", { value: "" }, none));
  for (const m of methods) {
    const option = h("option", { value: m.method, title: m.help }, m.method);
    option.selected = m.method === chosen;
    select.append(option);
  }
  return select;
}

function tokenForm(retry) {
  const input = h("input", { type: "password", autocomplete: "off", required: true });
  const form = h("form", { class: "ask" }, h("p", null, "This server asks for a token."),
    h("div", { class: "fields" }, field("Token", input), h("button", { type: "submit" }, "Use it")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    api.token = input.value;
    retry();
  });
  main.replaceChildren(h("h1", null, "rung"), form);
  main.dataset.ready = "token";
  input.focus();
}

function page(models) {
  const name = models[0].id, served = models[0].rung?.method ?? "sample";
  const methods = models.slice(1).map((m) => ({ method: m.id.slice(name.length + 1), help: m.description ?? "" }));
  const first = served !== "sample" ? served : "beam";
  const question = h("textarea", { id: "question", required: true, spellcheck: false });
  const a = methodSelect("method-a", methods, first), b = methodSelect("method-b", methods, null, "nothing");
  const n = h("input", { id: "n", type: "number", min: 1, max: 256, value: 4 });
  const temperature = h("input", { id: "temperature", type: "number", min: 0, max: 2, step: 0.1, value: 1 });
  const ask = h("button", { type: "submit" }, "Ask"), stop = h("button", { type: "button", disabled: true }, "Stop");
  const live = h("p", { role: "status", "aria-live": "polite", class: "soft" });
  const panes = h("div", { class: "panes" });
  const kept = h("section", { "aria-label": "Kept" });
  const form = h("form", { class: "ask", "aria-label": "Ask" }, field("Question", question),
    h("div", { class: "fields" }, field("Method", a), field("Compared with", b), field("Samples or beams", n),
      field("Temperature", temperature), ask, stop));
  let running = [];
  stop.addEventListener("click", () => running.forEach((p) => p.stop()));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = [a.value, b.value].filter(Boolean);
    running = chosen.map((method) => new Pane(api, method));
    panes.replaceChildren(...running.map((p) => p.element));
    ask.disabled = true;
    stop.disabled = false;
    live.textContent = `Asking with ${chosen.join(" and ")}`;
    let text = question.value;
    if (form.dataset.line === "true" && !text.endsWith("\n")) text += "\n";
    const seed = Math.floor(Math.random() * 2 ** 31);
    await Promise.all(running.map((p) => p.run({ text, n: Number(n.value), temperature: Number(temperature.value), seed })));
    live.textContent = running.map((p) => p.summary()).join(" ");
    ask.disabled = false;
    stop.disabled = true;
    runs(api, kept, panes);
  });
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.dataset.line = String(models[0].rung?.split === "line");
  main.replaceChildren(h("h1", null, `rung serves ${name}`),
    h("p", { class: "soft" }, "A search stands behind each answer: its steps, their scores, what was kept and what was left. ",
      "Ctrl+Enter asks."), form, live, panes, kept);
  main.dataset.ready = "true";
  runs(api, kept, panes);
}

async function begin() {
  try {
    const { data } = await api.get("/v1/models");
    page(data);
  } catch (error) {
    if (error.status === 401) tokenForm(begin);
    else main.replaceChildren(h("h1", null, "rung"), h("p", { class: "problem", role: "alert" }, String(error.message ?? error)));
  }
}
begin();
