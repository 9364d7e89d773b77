// One method at one question: its tree as it grows, its answer, what it cost.
import { h } from "./dom.js";
import { count, number, plural, seconds } from "./format.js";
import { Tree } from "./tree.js";

export class Pane {
  constructor(api, method) {
    this.api = api;
    this.method = method;
    this.abort = new AbortController();
    this.tree = new Tree();
    this.answer = h("div", { class: "answer", "aria-label": `Answer of ${method}` });
    this.final = h("p", { class: "final" });
    this.cost = h("p", { class: "soft" });
    this.element = h("section", { class: "pane", "aria-label": method }, h("h2", null, method), this.final, this.answer, this.cost, this.tree.element);
  }

  stop() {
    this.abort.abort();
  }

  take(object) {
    const choice = object.choices[0];
    if (choice?.delta?.content) this.answer.append(choice.delta.content);
    if (object.rung?.event) this.tree.event(object.rung.event);
    if (object.usage) this.usage = object.usage;
    if (object.rung?.choices) this.result = object.rung.choices[0];
    if (object.rung?.stopped) this.stopped = true;
  }

  async run({ text, n, temperature, seed }) {
    const began = performance.now();
    const body = { messages: [{ role: "user", content: text }], temperature, seed, stream_options: { include_usage: true },
      rung: this.method === "sample" ? { method: "sample" } : { method: this.method, n, events: true } };
    try {
      await this.api.stream("/v1/chat/completions", body, this.abort.signal, (o) => this.take(o));
    } catch (error) {
      this.failure = error.name === "AbortError" ? "stopped" : error.message;
      this.element.append(h("p", { class: "problem", role: "alert" }, this.failure));
    }
    this.took = (performance.now() - began) / 1000;
    if (this.result?.answer) this.final.textContent = this.result.answer;
    const u = this.usage;
    this.cost.textContent = [u && `${count(u.completion_tokens)} tokens drawn`, this.result && plural(this.result.nodes - 1, "state"),
      typeof this.result?.score === "number" && `score ${number(this.result.score, 3)}`, seconds(this.took),
      this.stopped && "stopped at its deadline"].filter(Boolean).join(" \u00b7 ");
    this.element.dataset.done = "true";
  }

  summary() {
    if (this.failure) return `${this.method}: ${this.failure}.`;
    return `${this.method} answers ${this.result?.answer || this.answer.textContent.trim().split("\n").pop() || "nothing"}.`;
  }
}
