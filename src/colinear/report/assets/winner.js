"use strict";
// The winner: what it looks for, what it confuses, how far its confidence can be trusted.

{
  const MANY = 40; // classes

  const templates = (panel) => {
    if (panel.pushing) return pushing(panel);
    if (panel.largest) return largest(panel);
    if (!panel.templates) return null;
    const note = panel.signed
      ? "The weights of each class: red pixels speak for it, blue ones against it, each class by its largest weight."
      : "The weights of each class as an image, stretched from the least to the largest weight.";
    const more = panel.templates.count < panel.classes.length ? ` The first ${panel.templates.count} of ${panel.classes.length} classes.` : "";
    return C.figure("templates", "Templates", note + more, C.el("div", { class: "tiles" },
      Array.from({ length: panel.templates.count }, (_, i) =>
        C.el("span", {}, C.tile(panel.templates, i, `weights of ${panel.classes[i]}`), C.el("small", { title: panel.classes[i] }, panel.classes[i])))));
  };

  const pushing = (panel) => {
    const { sprite, push } = panel.pushing;
    const more = push.length < panel.classes.length ? ` The first ${push.length} of ${panel.classes.length} classes.` : "";
    return C.figure("pushing", "Patches that push a class", `Of the ${panel.extractor}, whitened, those that raise the score of a class most when a picture has more of them; below, by how much for one standard deviation.${more}`, C.el("div", { class: "byclass" },
      push.map((row, i) => C.el("div", {}, C.el("h4", { title: panel.classes[i] }, panel.classes[i]), C.el("div", { class: "tiles small four" },
        row.map((one, j) => C.el("span", {}, C.tile(sprite, i * row.length + j, `a patch for ${panel.classes[i]}`), C.el("small", {}, C.fixed(one, 2)))))))));
  };

  const examples = (panel) => {
    if (!panel.examples) return null;
    const { rows, sprite } = panel.examples;
    const sure = (value) => (panel.mistakes && panel.mistakes.kind === "margin" ? C.fixed(value, 2) : C.percent(value, 0));
    const shown = [...new Set(rows.map(([label]) => label))];
    const tiles = (label, first) => rows.map((row, i) => [row, i]).filter(([row]) => row[0] === label && row[2] === first).map(([row, i]) =>
      C.el("span", {}, C.tile(sprite, i, panel.classes[label]), C.el("small", {}, sure(row[1]))));
    const more = shown.length < panel.classes.length ? ` ${shown.length} of ${panel.classes.length} classes.` : "";
    return C.figure("examples", "Surest and least sure", `Test rows that were labelled right: of each class first those with the most confidence, then those with the least.${more}`, C.el("div", { class: "byclass" },
      shown.map((label) => C.el("div", {}, C.el("h4", { title: panel.classes[label] }, panel.classes[label]),
        C.el("div", { class: "tiles small four" }, tiles(label, true)), C.el("div", { class: "tiles small four" }, tiles(label, false))))));
  };

  const largest = (panel) => {
    const peak = Math.max(...panel.largest.flat().map(([, weight]) => Math.abs(weight)), 1e-30);
    const more = panel.largest.length < panel.classes.length ? ` The first ${panel.largest.length} of ${panel.classes.length} classes.` : "";
    return C.figure("largest", "Largest weights", `On raw features, which are counted from 0.${more}`, C.el("div", { class: "weights" },
      panel.largest.map((row, i) => C.el("div", {}, C.el("h4", { title: panel.classes[i] }, panel.classes[i]),
        C.el("table", {}, C.el("tbody", {}, row.map(([feature, weight]) => C.el("tr", {},
          C.el("td", { class: "number" }, feature),
          C.el("td", { class: "signedbar" }, C.el("i", { class: weight < 0 ? "against" : "for", css: { width: `${(50 * Math.abs(weight)) / peak}%` } })),
          C.el("td", { class: "number" }, C.short(weight))))))))));
  };

  const confusion = (panel) => {
    if (!panel.confusion) return pairs(panel);
    const sums = panel.confusion.map((row) => row.reduce((a, b) => a + b, 0));
    const wrong = Math.max(...panel.confusion.map((row, i) => Math.max(0, ...row.map((n, j) => (i === j || !sums[i] ? 0 : n / sums[i])))), 1e-9);
    const cell = (n, i, j) => {
      const share = sums[i] ? n / sums[i] : 0;
      const strength = i === j ? share : share / wrong;
      const node = C.el("td", {
        class: `${i === j ? "right" : "wrong"}${strength > 0.55 ? " deep" : ""}`,
        title: `${panel.classes[i]} taken for ${panel.classes[j]}: ${n} of ${sums[i]}`,
        css: { "--share": `${Math.round(strength * (i === j ? 90 : 80))}%` },
      }, n || "·");
      return node;
    };
    const few = panel.classes.length <= 20;
    return C.figure(`confusion${few ? "" : " dense"}`, "Confusion", "Rows: the true class. Columns: what it was taken for. Blue: right; orange: wrong, by its share of the row.",
      C.scroll("Confusion", C.el("table", { class: "matrix" },
        C.el("thead", {}, C.el("tr", {}, C.el("td"), panel.classes.map((name) => C.el("th", { scope: "col", title: name }, C.el("span", {}, name))))),
        C.el("tbody", {}, panel.confusion.map((row, i) => C.el("tr", {}, C.el("th", { scope: "row", title: panel.classes[i] }, panel.classes[i]), row.map((n, j) => cell(n, i, j)))))), panel.classes.length));
  };

  const pairs = (panel) => {
    if (!panel.pairs) return null;
    const { node } = C.table([
      { name: "true class", read: ([a]) => panel.classes[a], show: ([a]) => panel.classes[a], text: true },
      { name: "taken for", read: ([, b]) => panel.classes[b], show: ([, b]) => panel.classes[b], text: true },
      { name: "rows", read: ([, , n]) => n, show: ([, , n]) => C.count(n), down: true },
    ], panel.pairs, { start: 2, down: true, label: "The commonest confusions" });
    return C.figure("pairs", "The commonest confusions", `There are too many classes (${panel.classes.length}) to show the whole matrix.`, node);
  };

  const perClass = (panel) => {
    if (!panel.per_class) return null;
    const bar = (share) => [C.el("span", { class: "meter", "aria-hidden": "true" }, C.el("i", { css: { width: `${100 * (share || 0)}%` } })), C.el("span", { class: "share" }, C.percent(share))];
    const { node } = C.table([
      { name: "class", read: ([name]) => name, show: ([name]) => C.el("span", { class: "clip", title: name }, name), text: true },
      { name: "recall", read: ([, one]) => one.recall, show: ([, one]) => bar(one.recall), down: true },
      { name: "precision", read: ([, one]) => one.precision, show: ([, one]) => bar(one.precision), down: true },
      { name: "F1", read: ([, one]) => one.f1, show: ([, one]) => C.percent(one.f1), down: true },
      { name: "rows", read: ([, one]) => one.rows, show: ([, one]) => C.count(one.rows), down: true, wide: true },
      !panel.confusion && panel.pairs && {
        name: "mostly taken for", text: true, wide: true,
        read: ([, one]) => (one.taken_for === null ? null : panel.classes[one.taken_for]),
        show: ([, one]) => (one.taken_for === null ? "–" : [C.el("span", { class: "clip", title: panel.classes[one.taken_for] }, panel.classes[one.taken_for]), ` (${one.taken_count})`]),
      },
    ].filter(Boolean), panel.classes.map((name, i) => [name, panel.per_class[i]]), { start: 1, down: true, label: "Every class on test rows" });
    return C.figure(`perclass${panel.confusion || !panel.pairs ? "" : " whole-width"}`, "Class by class", `Recall: how many of its rows were found. Precision: how many of those named so are.${panel.many ? " The accuracy counts rows whose known answers are all right." : ""}`, node);
  };

  const reliability = (panel) => {
    if (!panel.reliability) return null;
    const { bins, before, few } = panel.reliability;
    const share = (value) => C.percent(value, 0);
    const points = bins.map(([n, sure, right, low, high], i) => ({ n, x: sure, y: right, low, high, middle: (i + 0.5) / bins.length })).filter(({ n }) => n > 0);
    const most = Math.max(...points.map(({ n }) => n));
    const earlier = before ? before.bins.filter(([n]) => n > 0).map(([, sure, right]) => [sure, right]) : [];
    const tip = (p) => [`${C.count(p.n)} ${p.n === 1 ? "row" : "rows"}`, `confidence ${C.percent(p.x)}`, `accuracy ${C.percent(p.y)}, 95 % interval ${C.percent(p.low)} to ${C.percent(p.high)}`];
    const x = { range: [0, 1], format: share };
    const chart = C.chart({
      x: { ...x, label: "" }, y: { range: [0, 1], label: "accuracy", format: share, size: 58 },
      points, height: 270, label: "Reliability: accuracy over confidence, with 95 % intervals", tip,
      draw: (pen) => {
        pen.line([[0, 0], [1, 1]], pen.colours.faint, 1, [4, 4]);
        if (before) pen.line(earlier, pen.colours.second, 1.5, [5, 4]);
        pen.line(points.map((p) => [p.x, p.y]), pen.colours.accent, 1, [1, 3]);
        for (const p of points) {
          pen.fade(p.n < few ? 0.35 : 1);
          pen.line([[p.x, p.low], [p.x, p.high]], pen.colours.accent, 1.25);
          pen.dot(p.x, p.y, 4.5, pen.colours.accent, pen.colours.paper, 1.5);
        }
        pen.fade(1);
      },
    });
    const counts = C.chart({
      x: { ...x, label: "confidence" }, y: { range: [0, 1.08 * most], label: "rows", format: C.count, size: 58 },
      points: points.map((p) => ({ ...p, x: p.middle, sure: p.x, y: p.n, right: p.y })), height: 120, label: "Test rows by confidence",
      tip: (p) => tip({ ...p, x: p.sure, y: p.right }),
      draw: (pen) => {
        for (const p of points) {
          pen.fade(p.n < few ? 0.35 : 1);
          pen.bar(p.middle, p.n, 0.8 / bins.length, pen.colours.accent);
        }
        pen.fade(1);
      },
    });
    const thin = points.some(({ n }) => n < few);
    return C.figure("reliability", "Reliability", `Of rows labelled with a certain confidence, how many were right. Expected calibration error ${C.percent(panel.reliability.ece)}${before ? `, before calibration ${C.percent(before.ece)}` : ""}.`,
      chart, counts, C.key([["accent", `accuracy, 95 % interval${thin ? `; faded: fewer than ${few} rows` : ""}`], before && ["second dashed", "before calibration"], ["faint dashed thin", "as right as sure"]]));
  };

  const mistakes = (panel) => {
    if (!panel.mistakes || !panel.mistakes.rows.length) return null;
    const { rows, sprite, kind } = panel.mistakes;
    const sure = (value) => (kind === "probability" ? C.percent(value, 0) : `margin ${C.fixed(value, 2)}`);
    const items = rows.map(([truth, taken, confidence], i) => C.el("span", { class: "mistake" },
      sprite && C.tile(sprite, i, `${panel.classes[truth]} taken for ${panel.classes[taken]}`),
      C.el("small", {}, C.el("b", { title: panel.classes[taken] }, panel.classes[taken]), C.el("span", { title: panel.classes[truth] }, `is ${panel.classes[truth]}`), C.el("em", {}, sure(confidence)))));
    const note = `Test rows that were labelled wrong with the largest ${kind === "probability" ? "probability" : "margin over the second class"}: first the label given, then the true class.`;
    return C.figure("mistakes", "Most confident mistakes", note, C.el("div", { class: sprite ? "tiles" : "list" }, items));
  };

  C.winner = (panel) => {
    // templates come first where they can be read: of many classes, and of features, results by class say more
    const first = panel.templates && panel.classes.length <= MANY ? [templates(panel), confusion(panel), perClass(panel)] : [perClass(panel), confusion(panel), examples(panel), templates(panel)];
    const blocks = [...first, reliability(panel), mistakes(panel)].filter(Boolean);
    const test = panel.test ? `Its ${C.count(panel.test.rows)} test rows were scored once, after the choice.` : "There were no test rows to score it on.";
    return C.section("winner", "The winner", `${C.setting(panel.trials[panel.best])}. ${test}`, C.el("div", { class: "blocks" }, blocks));
  };
}
