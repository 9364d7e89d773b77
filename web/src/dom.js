// Elements from data. Text is only ever text: model output never becomes markup.
export function h(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "style") Object.assign(e.style, value);
    else e.setAttribute(key, value === true ? "" : String(value));
  }
  add(e, children);
  return e;
}

function add(parent, children) {
  for (const c of children) {
    if (c === undefined || c === null || c === false) continue;
    if (Array.isArray(c)) add(parent, c);
    else parent.append(c instanceof Node ? c : document.createTextNode(String(c)));
  }
}

// rows: arrays of cells; a column's n is true for numbers, head for the row's name
export function table(caption, columns, rows, { foot, kind } = {}) {
  const cell = (v, i, tag) => h(columns[i].head ? "th" : tag ?? "td",
    { class: columns[i].n ? "n" : columns[i].wrap ? "wrap" : null, scope: columns[i].head ? "row" : null }, v);
  const line = (r) => h("tr", { class: r.class }, (r.cells ?? r).map((v, i) => cell(v, i)));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", { class: kind }, h("caption", null, caption),
      h("thead", null, h("tr", null,
        columns.map((c) => h("th", { scope: "col", class: c.n ? "n" : null }, c.name)))),
      h("tbody", null, rows.map(line)),
      foot && h("tfoot", null, line(foot))));
}

// A figure that redraws itself to its width, with the numbers behind it in a table.
export function figure(draw, label, caption, numbers, key) {
  const box = h("div", { class: "plot" });
  let width = 0;
  const render = () => {
    const w = Math.round(Math.max(280, Math.min(box.clientWidth || 720, 900)));
    if (w === width) return;
    width = w;
    const svg = draw(w);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
    box.replaceChildren(svg);
  };
  new ResizeObserver(render).observe(box);
  return h("figure", null, box, key, caption && h("figcaption", null, caption),
    numbers && h("details", null, h("summary", null, "The numbers of this figure"), numbers));
}
