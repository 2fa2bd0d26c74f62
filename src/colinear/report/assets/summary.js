"use strict";
// The page of a sweep: headline, the table with the best of each row, a line over a numbered field, all results.

{
  const page = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("page");
  const { toggle, paint } = C.theme(main);
  const COLOURS = ["accent", "second", "third", "fourth", "fifth", "sixth"];

  const count = (number, unit) => `${C.count(number)} ${unit}${number === 1 ? "" : "s"}`;
  const metricOf = (name) => page.metrics[name] || { higher: true, share: true };
  const value = (metric, number, digits = 2) => (metricOf(metric).share ? C.percent(number, digits) : C.fixed(number, digits + 2));
  const spread = (metric, one) => (C.known(one.spread) ? ` ± ${value(metric, one.spread)}` : "");
  const reportOf = (run) => `${encodeURIComponent(run.folder)}/report.html`;
  const named = (text) => C.el("span", { class: "clip", title: text }, text);

  const states = Object.groupBy ? Object.groupBy(page.runs, (run) => run.state) : page.runs.reduce((all, run) => ({ ...all, [run.state]: [...(all[run.state] || []), run] }), {});
  const { finished = [], failed = [], waiting = [] } = states;
  const results = page.runs.flatMap((run) => run.results.map((result) => ({ run, ...result })));

  const headline = () => {
    const parts = [`${C.count(finished.length)} of ${count(page.runs.length, "run")} finished`, failed.length && `${C.count(failed.length)} failed`, waiting.length && `${C.count(waiting.length)} waiting`];
    const spent = finished.reduce((sum, run) => sum + (run.seconds || 0), 0);
    return C.el("header", { class: "top" },
      C.el("div", { class: "brand" }, C.el("span", {}, "colinear"), C.el("span", { class: "run" }, "sweep"), toggle),
      C.el("h1", {}, page.title.replace(/ · sweep$/, "")),
      C.el("p", { class: "lead" }, `${parts.filter(Boolean).join(", ")}${spent ? `, in ${C.duration(spent)}` : ""}.`));
  };

  const best = () => {
    const scored = results.filter((one) => C.known(one.validation));
    const metrics = new Set(scored.map((one) => one.metric));
    if (!scored.length || metrics.size > 1) return null;
    const [metric] = metrics;
    const part = scored.every((one) => C.known(one.test)) ? "test" : "validation";
    const sign = metricOf(metric).higher ? 1 : -1;
    const losses = [...new Set(scored.map((one) => one.loss))];
    return C.el("div", { class: "cards" }, losses.map((loss) => {
      const top = scored.filter((one) => one.loss === loss).reduce((a, b) => (sign * b.validation > sign * a.validation ? b : a)); // test rows select nothing
      return C.el("a", { class: "card", href: reportOf(top.run) },
        C.el("span", { class: "cardname" }, C.capital(loss)),
        C.el("span", { class: "big" }, value(metric, top[part])),
        C.el("span", { class: "cardline" }, `${part} ${metric} of ${top.run.title}, the best by validation`),
        part === "test" && C.known(top.low) && C.el("span", { class: "cardnote" }, `95 % interval ${value(metric, top.low, 1)} to ${value(metric, top.high, 1)}`),
        C.el("span", { class: "cardnote" }, `reg ${C.short(top.reg)}${C.known(top.gap) ? ` · within ${C.gap(top.gap)} of the optimum` : ""}`));
    }));
  };

  const pivot = ({ rows, columns, metric, value: part, cells, heads: names }) => {
    const key = (cell, names) => names.map((name) => cell[name]).join(" / ");
    const heads = names.map((head) => head.join(" / "));
    const lines = new Map();
    for (const cell of cells) {
      const name = rows.map((one) => cell[one]).join("\u0000");
      if (!lines.has(name)) lines.set(name, { names: rows.map((one) => cell[one]), cells: new Map() });
      lines.get(name).cells.set(key(cell, columns), cell);
    }
    const tested = cells.some((cell) => C.known(cell.p_value)); // daggers then have a place in every cell: digits stand below digits
    const shown = (cell) => {
      if (!cell || !C.known(cell.value)) return "–";
      const words = [
        C.known(cell.low) && `95 % interval ${value(metric, cell.low)} to ${value(metric, cell.high)}`,
        C.known(cell.p_value) && `p ${C.short(cell.p_value)} against the best of the row`,
      ].filter(Boolean).join("; ");
      const number = value(metric, cell.value);
      return C.el("span", { title: words }, cell.best ? C.el("strong", {}, number) : number, tested && C.el("span", { class: cell.tied ? null : "unseen" }, "†"), spread(metric, cell));
    };
    const note = `${C.capital(part)} ${metric}; bold: the best of each row.` + (tested ? " †: not told from the best by McNemar's test on the same test rows (p ≥ 0.05 after Holm's correction)." : "") + " Point at a number for its interval.";
    const table = C.el("table", { "aria-label": "Best of each row" },
      C.el("thead", {}, C.el("tr", {}, rows.map((name) => C.el("th", { scope: "col" }, name)), heads.map((head) => C.el("th", { scope: "col", class: "number", title: `${columns.join(" / ")} ${head}` }, head)))),
      C.el("tbody", {}, [...lines.values()].map((line) => C.el("tr", {}, line.names.map((name) => C.el("td", {}, named(name))), heads.map((head) => C.el("td", { class: "number" }, shown(line.cells.get(head))))))));
    return C.section("pivot", `Over ${columns.join(" and ")}`, note, C.scroll("Best of each row", table, lines.size));
  };

  const curves = ({ rows, columns, metric, value: part, cells, places }) => {
    if (!places || new Set(places).size < 3) return null;
    const lines = cells.map((cell) => rows.map((one) => cell[one]).join(" / "));
    const names = [...new Set(lines)];
    const aside = (name) => (names.indexOf(name) - (names.length - 1) / 2) * 0.012 * (Math.max(...places) - Math.min(...places)); // else whiskers hide each other
    const points = cells.map((cell, i) => ({ ...cell, name: lines[i], place: places[i], x: places[i] + aside(lines[i]), y: cell.value })).filter((point) => C.known(point.y));
    if (!points.length || names.length > 12) return null;
    const ends = points.flatMap((point) => [point.y, point.low, point.high]).filter(C.known);
    const label = `${C.capital(part)} ${metric} over ${columns[0]}`;
    const chart = C.chart({
      x: { range: C.range(points.map((point) => point.x)), label: columns[0], format: places.every(Number.isInteger) ? (place) => (Number.isInteger(place) ? String(place) : "") : undefined },
      y: { range: C.range(ends), label: `${part} ${metric}`, format: metricOf(metric).share ? (share) => C.percent(share, 0) : undefined },
      points, height: 320, label,
      tip: (point) => [`${columns[0]} ${C.short(point.place)} · ${point.name}`, value(metric, point.y) + spread(metric, point), ...(C.known(point.low) ? [`95 % interval ${value(metric, point.low, 1)} to ${value(metric, point.high, 1)}`] : [])],
      draw: (pen) => names.forEach((name, number) => {
        const colour = C.colour(COLOURS[number % COLOURS.length]);
        const own = points.filter((point) => point.name === name).sort((a, b) => a.x - b.x);
        for (const point of own) if (C.known(point.low)) pen.line([[point.x, point.low], [point.x, point.high]], colour, 1);
        pen.line(own.map((point) => [point.x, point.y]), colour, 1.75, number >= COLOURS.length ? [5, 4] : []);
        for (const point of own) pen.dot(point.x, point.y, 4, colour, pen.colours.paper, 1);
      }),
    });
    const key = names.length > 1 && C.key(names.map((name, number) => [`${COLOURS[number % COLOURS.length]} dot ${number < COLOURS.length ? "line" : "dashed"}`, name]));
    return C.section("curves", label, "Whiskers: 95 % intervals. Point at a mark for its numbers.", chart, key);
  };

  const everything = () => {
    if (!results.length) return null;
    const fields = [...new Set(page.runs.flatMap((run) => Object.keys(run.fields)))];
    const several = new Set(results.map((one) => one.metric)).size > 1;
    const alike = new Set(page.runs.map((run) => run.options)).size === 1;
    const note = alike ? ` All with ${page.runs[0].options}.` : "";
    const columns = [
      { name: "run", read: (one) => one.run.title, show: (one) => C.el("a", { href: reportOf(one.run), title: one.run.data }, named(one.run.title)), text: true },
      ...(fields.length > 1 ? fields : []).map((name) => ({ name, read: (one) => one.run.fields[name], show: (one) => String(one.run.fields[name] ?? "–"), text: true, wide: true })),
      { name: "loss", read: (one) => one.loss, show: (one) => one.loss, text: true },
      several && { name: "metric", read: (one) => one.metric, show: (one) => one.metric, text: true },
      { name: "validation", read: (one) => one.validation, show: (one) => value(one.metric, one.validation, 1), down: true, wide: true },
      { name: "test", read: (one) => one.test, show: (one) => value(one.metric, one.test) + spread(one.metric, one), down: true },
      { name: "95 % interval", read: (one) => one.low, show: (one) => (C.known(one.low) ? `${value(one.metric, one.low, 1)} to ${value(one.metric, one.high, 1)}` : "–"), wide: true },
      { name: "reg", read: (one) => one.reg, show: (one) => C.short(one.reg), wide: true },
      { name: "within", read: (one) => one.gap, show: (one) => C.gap(one.gap), wide: true },
      !alike && { name: "options", read: (one) => one.run.options, show: (one) => named(one.run.options), text: true, wide: true },
      { name: "time", read: (one) => one.seconds, show: (one) => C.duration(one.seconds) },
    ].filter(Boolean);
    return C.section("results", "All results", `Each run has a page of its own. Choose a heading to sort by it.${note}`,
      C.table(columns, results, { start: columns.findIndex((column) => column.name === "test"), down: true, label: "All results" }).node);
  };

  const troubles = () => failed.length && C.section("failed", "Failed", "The others went on. The same command tries these again.",
    C.scroll("Failed", C.el("table", { class: "errors" },
      C.el("tbody", {}, failed.map((run) => C.el("tr", {}, C.el("th", { scope: "row" }, named(run.title)), C.el("td", {}, run.error || ""))))), failed.length));

  const others = () => waiting.length && C.section("waiting", "Waiting", null, C.el("p", {}, waiting.map((run) => run.title).join(", ")));

  main.replaceChildren(...[headline(), best(), page.table && pivot(page.table), page.table && curves(page.table), troubles(), everything(), others(),
    C.el("footer", {}, "Made by colinear. This page is one file and asks nothing of a network.")].filter(Boolean));
  paint();
}
