// The report: data in, page out. Everything that is shown comes from the JSON in this file.
import { accuracy } from "./accuracy.js";
import { h } from "./dom.js";
import { examples } from "./examples.js";
import { headline } from "./headline.js";
import { ledger, others, provenance } from "./ledger.js";
import { searches } from "./searches.js";
import { training } from "./training.js";
import { processbench, trust } from "./trust.js";

const main = document.getElementById("report");

function page(data) {
  const answer = data.answers[0];
  document.title = data.title;
  if (!answer) { // a store of searches or of trainings alone
    main.replaceChildren(...[
      h("header", null, h("h1", null, data.title), h("p", { class: "soft" }, "No answers were measured in this store.")),
      searches(data), training(data), ledger(data), provenance(data),
    ].filter(Boolean));
    return;
  }
  main.replaceChildren(...[
    headline(data, answer),
    accuracy(answer, "Which answer to trust"),
    searches(data),
    trust(data),
    processbench(data),
    examples(data),
    training(data),
    others(data.answers),
    ledger(data),
    provenance(data),
  ].filter(Boolean));
}

// Paper has no disclosure triangles: open them for printing, and put them back.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const d of closed) d.open = true;
});
addEventListener("afterprint", () => closed.forEach((d) => { d.open = false; }));

try {
  page(JSON.parse(document.getElementById("rung-data").textContent));
  main.dataset.ready = "true";
} catch (error) {
  main.replaceChildren(h("p", null, "This report could not be drawn: ", String(error)));
  console.error(error);
}
