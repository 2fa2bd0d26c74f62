"use strict";
// Several runs beside each other: winners, their intervals, the paired test, and what they look for.

{
  const COLOURS = ["accent", "second", "third", "fourth", "fifth", "sixth"];
  C.nameOf = (panel) => `${panel.run} · ${panel.loss}`;
  const { nameOf } = C;
  /** A run's name, whole: cut, two could look the same. */
  const named = (panel) => C.el("span", { class: "runname" }, nameOf(panel));

  const winners = (panels, choose) => {
    const best = (panel) => panel.trials[panel.best];
    const same = panels.every((panel) => panel.metric.name === panels[0].metric.name);
    const tested = (p) => p.test && (p.test.score !== undefined ? p.test.score : p.test.accuracy);
    const has = (key) => panels.some((panel) => C.known(best(panel)[key]));
    const columns = [
      { name: "run", read: nameOf, show: (p) => named(p), text: true },
      { name: "data", read: (p) => p.dataset.name, show: (p) => p.dataset.name, text: true, wide: true },
      { name: "solver", read: (p) => p.solver, show: (p) => p.solver, text: true, wide: true },
      has("learning_rate") && { name: "learn. rate", read: (p) => best(p).learning_rate, show: (p) => C.short(best(p).learning_rate), wide: true },
      { name: "reg", read: (p) => best(p).reg, show: (p) => C.short(best(p).reg), wide: true },
      !same && { name: "metric", read: (p) => p.metric.name, show: (p) => p.metric.name, text: true },
      { name: same ? `val ${panels[0].metric.name}` : "val", read: (p) => C.scored(best(p)), show: (p) => C.value(p, C.scored(best(p))), down: panels[0].metric.higher },
      panels.some((p) => p.test && p.test.score !== undefined) &&
        { name: same ? `test ${panels[0].metric.name}` : "test of it", read: tested, show: (p) => C.value(p, tested(p), 2), down: panels[0].metric.higher },
      { name: "test accuracy", read: (p) => p.test && p.test.accuracy, show: (p) => (p.test ? C.percent(p.test.accuracy, 2) : "–"), down: true },
      has("relative_gap") && { name: "optimum", read: (p) => best(p).relative_gap, show: (p) => C.certificate(p) || "–", text: true, wide: true },
      { name: "time", read: (p) => p.seconds, show: (p) => C.duration(p.seconds) },
    ].filter(Boolean);
    return C.table(columns, panels, { start: columns.findIndex((column) => column.name === "test accuracy"), down: true, choose: (p) => choose(panels.indexOf(p)), label: "Winners" }).node;
  };

  const intervals = (panels) => {
    const tested = panels.filter((panel) => panel.test);
    if (!tested.length) return null;
    const [low, high] = C.range(tested.flatMap((panel) => panel.test.interval), 0.12);
    const marks = C.ticks(low, high, false, 4).filter((share) => share >= 0 && share <= 1 + 1e-9);
    const digits = marks.length > 1 && marks[1] - marks[0] < 0.0099 ? (marks[1] - marks[0] < 0.00099 ? 2 : 1) : 0;
    const place = (share) => `${(100 * (share - low)) / (high - low)}%`;
    return C.figure("intervals", "Test accuracy with 95 % intervals", "Overlapping intervals do not say that two winners are equal: on the same rows the paired test below sees more.",
      C.el("div", { class: "tracks" }, tested.map((panel) => {
        const [from, to] = panel.test.interval;
        return C.el("div", { class: "track" }, named(panel),
          C.el("span", { class: "rail" },
            C.el("i", { class: "whisker", css: { left: place(from), width: `${(100 * (to - from)) / (high - low)}%` } }),
            C.el("i", { class: "spot", css: { left: place(panel.test.accuracy) } })),
          C.el("span", { class: "value" }, C.percent(panel.test.accuracy, 2)));
      }),
      C.el("div", { class: "track", "aria-hidden": "true" }, C.el("span"), C.el("span", { class: "rail scale" },
        marks.map((share) => C.el("i", { class: "mark", css: { left: place(share) } }, C.percent(share, digits)))), C.el("span"))));
  };

  const chance = (p) => C.short(p, 2);

  const paired = (panels, { pairs, untested }) => {
    if (!pairs.length) return C.el("p", { class: "note" }, "No two winners were scored on the same test rows, so there is no paired test.");
    const verdict = ({ first, second, p_value: p, difference }) =>
      p >= 0.05 ? "no difference seen" : `${nameOf(panels[difference > 0 ? first : second])} is better`;
    const columns = [
      { name: "first", read: (one) => nameOf(panels[one.first]), show: (one) => named(panels[one.first]), text: true },
      { name: "second", read: (one) => nameOf(panels[one.second]), show: (one) => named(panels[one.second]), text: true },
      { name: "difference", read: (one) => one.difference, show: (one) => `${one.difference > 0 ? "+" : ""}${C.percent(one.difference, 2)}`, down: true },
      { name: "only first right", read: (one) => one.only_first, show: (one) => C.count(one.only_first), wide: true },
      { name: "only second right", read: (one) => one.only_second, show: (one) => C.count(one.only_second), wide: true },
      { name: "p", read: (one) => one.p_value, show: (one) => chance(one.p_value) },
      { name: "verdict", read: verdict, show: verdict, text: true, wide: true },
    ];
    const note = "McNemar's test on the rows that only one of two winners labels right. p: how likely a difference this large would be between equally good classifiers; it is not corrected for the number of pairs.";
    return C.figure("paired", "Paired test", note + (untested ? ` ${untested} pairs share no test rows and are left out.` : ""),
      C.table(columns, pairs, { start: 5, label: "Paired test of winners" }).node);
  };

  const accuracies = (panels) => {
    const series = panels.map((panel, number) => panel.trials.filter((trial) => C.known(C.scored(trial)))
      .map((trial) => ({ panel, number, trial, x: Math.log10(trial.reg), y: C.scored(trial) })).sort((a, b) => a.x - b.x));
    const points = series.flat();
    const names = [...new Set(panels.map((panel) => panel.metric.name))];
    const shares = panels.every((panel) => panel.metric.share);
    const chart = C.chart({
      x: { range: C.range(points.map((p) => p.x)), label: "reg", log: true },
      y: { range: C.range(points.map((p) => p.y)), label: `validation ${names.length === 1 ? names[0] : "score"}`, format: shares ? (share) => C.percent(share, 0) : undefined },
      points, height: 320, label: "Validation score of every candidate over its strength of regularization",
      tip: (p) => [nameOf(p.panel), C.setting(p.trial), `validation ${p.panel.metric.name} ${C.value(p.panel, p.y)}`],
      draw: (pen) => series.forEach((row, number) => {
        const colour = C.colour(COLOURS[number % COLOURS.length]);
        if (row.length && row[0].panel.solver === "exact") pen.line(row.map((p) => [p.x, p.y]), colour, 1.75, number >= COLOURS.length ? [5, 4] : []);
        for (const p of row) pen.dot(p.x, p.y, 4, colour, pen.colours.paper, 1);
      }),
    });
    const form = (panel, number) => (panel.solver !== "exact" ? "" : number < COLOURS.length ? " dot line" : " dot dashed");
    const key = C.key(panels.map((panel, number) => [COLOURS[number % COLOURS.length] + form(panel, number), nameOf(panel)]));
    return C.figure("together", "All candidates together", `Point at a mark for its settings.${names.length > 1 ? ` Each by its own metric: ${names.join(", ")}.` : ""}`, chart, key);
  };

  const templates = (panels) => {
    const shown = panels.filter((panel) => panel.templates);
    const same = shown.length > 1 && shown.every((panel) => JSON.stringify(panel.classes) === JSON.stringify(shown[0].classes));
    if (!same) return null;
    const count = Math.min(...shown.map((panel) => panel.templates.count));
    return C.figure("beside", "Templates side by side", "Each row a winner, each column a class.",
      C.scroll("Templates side by side", C.el("table", { class: "matrix pictures" },
        C.el("thead", {}, C.el("tr", {}, C.el("td"), shown[0].classes.slice(0, count).map((name) => C.el("th", { scope: "col", title: name }, C.el("span", {}, name))))),
        C.el("tbody", {}, shown.map((panel) => C.el("tr", {}, C.el("th", { scope: "row" }, named(panel)),
          Array.from({ length: count }, (_, i) => C.el("td", {}, C.tile(panel.templates, i, `weights of ${panel.classes[i]}`))))))), shown.length));
  };

  /** On the page of one run: its losses, row by row. */
  C.ownTest = (page) => {
    const losses = page.panels.map((panel) => ({ ...panel, short: C.capital(panel.loss) }));
    const said = page.own.pairs.map(({ first, second, only_first: mine, only_second: theirs, p_value: p, difference }) => {
      const names = [losses[first].short, losses[second].short];
      const verdict = p >= 0.05 ? "no difference is seen" : `${names[difference > 0 ? 0 : 1]} is better`;
      return C.el("p", { class: "owntest note" }, `${names[0]} against ${names[1]}, on the same test rows: only ${names[0]} is right on ${C.count(mine)}, only ${names[1]} on ${C.count(theirs)}; ${verdict} (McNemar's test, p = ${C.short(p, 2)}).`);
    });
    return C.el("div", {}, said);
  };

  C.compare = (page, choose) =>
    C.el("div", { class: "sheet" },
      C.section("compare", "Side by side", "Choose a row to see that run below.", winners(page.panels, choose),
        C.el("div", { class: "blocks" }, [intervals(page.panels), paired(page.panels, page.comparison), accuracies(page.panels), templates(page.panels)].filter(Boolean))));
}
