"use strict";
// A table that sorts by any of its columns.

{
  /**
   * columns: [{name, read(row), show(row), text, wide}]; `text`: left aligned, `wide`: left out on a phone.
   * options: start {column, down}; choose(row).
   */
  C.table = (columns, rows, { start = 0, down = false, choose = null, label = "" } = {}) => {
    const state = { column: start, down };
    const body = C.el("tbody");
    const heads = columns.map((column, i) =>
      C.el("th", { scope: "col", class: `${column.text ? "text" : "number"}${column.wide ? " wide" : ""}` },
        C.el("button", { type: "button", on: { click: () => sort(i) } }, column.name, C.el("i", { "aria-hidden": "true" }))));
    const lines = rows.map((row) => {
      const line = C.el("tr", {}, columns.map((column) =>
        C.el("td", { class: `${column.text ? "text" : "number"}${column.wide ? " wide" : ""}` }, column.show(row))));
      if (choose) {
        line.tabIndex = 0;
        line.addEventListener("click", () => choose(row));
        line.addEventListener("keydown", (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), choose(row)));
      }
      return { row, line };
    });

    const draw = () => {
      const read = columns[state.column].read;
      const missing = (value) => value === null || value === undefined || Number.isNaN(value);
      const sorted = lines.slice().sort((a, b) => {
        const [one, two] = [read(a.row), read(b.row)];
        if (missing(one) || missing(two)) return missing(one) - missing(two); // last, whichever way
        const sign = typeof one === "string" ? one.localeCompare(two) : one - two;
        return state.down ? -sign : sign;
      });
      body.append(...sorted.map(({ line }) => line));
      heads.forEach((head, i) => head.setAttribute("aria-sort", i !== state.column ? "none" : state.down ? "descending" : "ascending"));
    };
    const sort = (i) => {
      state.down = i === state.column ? !state.down : Boolean(columns[i].down);
      state.column = i;
      draw();
    };
    draw();
    const table = C.el("table", { "aria-label": label }, C.el("thead", {}, C.el("tr", {}, heads)), body);
    return { node: C.scroll(label, table, rows.length), lines };
  };

  C.candidates = (panel, chosen) => {
    const trial = (number) => panel.trials[number];
    const rank = new Map(panel.order.map((number, place) => [number, place + 1]));
    const number = (name, key, show, more = {}) => ({ name, read: (n) => trial(n)[key], show: (n) => show(trial(n)[key]), ...more });
    const score = (name, part) => ({
      name, read: (n) => C.scored(trial(n), part), show: (n) => C.value(panel, C.scored(trial(n), part)), down: panel.metric.higher,
    });
    const has = (key) => panel.trials.some((one) => C.known(one[key]));
    // SGD certifies its winner only, whose numbers stand beside the search
    const several = (key) => has(key) && (panel.trials.length === 1 || panel.trials.filter((one) => C.known(one[key])).length > 1);
    const columns = [
      { name: "rank", read: (n) => rank.get(n), show: (n) => rank.get(n) },
      has("learning_rate") && number("learn. rate", "learning_rate", C.short),
      number("reg", "reg", C.short),
      score("train", "train"),
      score("val", "val"),
      has("spread") && number("± folds", "spread", (v) => C.value(panel, v), { wide: true }),
      several("objective") && number("objective", "objective", (v) => C.short(v, 6), { wide: true }),
      several("relative_gap") && number("within", "relative_gap", C.gap),
      has("passes") && number("passes", "passes", C.count, { wide: true }),
      has("steps") && number("steps", "steps", C.count, { wide: true }),
      has("loss") && number("last loss", "loss", (v) => (C.known(v) && v < 1e4 ? C.fixed(v, 3) : C.short(v)), { wide: true }),
      { name: "status", read: (n) => trial(n).status, show: (n) => C.status[trial(n).status] || trial(n).status, text: true, wide: true },
    ].filter(Boolean);
    const { node, lines } = C.table(columns, panel.trials.map((_, n) => n), { choose: (n) => chosen.set(n), label: "All candidates" });
    chosen.listen((now) => lines.forEach(({ row, line }) => {
      line.classList.toggle("chosen", row === now);
      line.setAttribute("aria-current", String(row === now));
    }));
    node.classList.add("candidates");
    return C.section("all", "All candidates", `Choose a column's name to sort by it, a row to see that candidate above. train, val: ${panel.metric.name}.${several("relative_gap") ? " within: at most so far from the optimum." : ""}`, node);
  };
}
