"use strict";
// How the search went: every candidate as a mark, and the one that is chosen, closely.

{
  const log10 = Math.log10;
  const lost = (trial) => !C.known(C.scored(trial));

  const tipOf = (panel) => (point) => {
    const trial = panel.trials[point.number];
    return [
      `${point.number === panel.best ? "winner" : `candidate ${point.number + 1}`}`,
      C.setting(trial),
      `${panel.metric.name}: validation ${C.value(panel, C.scored(trial))}, training ${C.value(panel, C.scored(trial, "train"))}`,
      C.known(trial.relative_gap) && (panel.above || `within ${C.gap(trial.relative_gap)} of the optimum`),
      trial.status !== "completed" && trial.status !== "converged" && C.status[trial.status],
    ].filter(Boolean);
  };

  /** Share of the way from the worst to the best value of the metric, for colours. */
  const shareOf = (panel) => {
    const values = panel.trials.map((trial) => C.scored(trial)).filter(C.known);
    const ends = [Math.min(...values), Math.max(...values)];
    const [worst, best] = panel.metric.higher ? ends : ends.reverse();
    return { worst, best, of: (trial) => (best === worst ? 1 : (C.scored(trial) - worst) / (best - worst)) };
  };

  const ramp = (panel, share) =>
    C.el("div", { class: "ramp" }, C.el("span", {}, C.value(panel, share.worst)),
      C.el("span", { class: "bar", css: { background: `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map(C.viridis).join(", ")})` } }),
      C.el("span", {}, C.value(panel, share.best)), C.el("span", { class: "what" }, `validation ${panel.metric.name}`));

  const scatter = (panel, chosen) => {
    const share = shareOf(panel);
    const points = panel.trials.map((trial, number) => ({ number, x: log10(trial.learning_rate), y: log10(trial.reg) }));
    const draw = ({ colours, dot, cross }) => {
      const order = points.slice().sort((a, b) => (share.of(panel.trials[a.number]) || 0) - (share.of(panel.trials[b.number]) || 0));
      for (const { number, x, y } of order) {
        const trial = panel.trials[number];
        if (lost(trial)) cross(x, y, 4, colours.faint);
        else dot(x, y, number === panel.best ? 8 : trial.status === "dropped" ? 4 : 6, C.viridis(share.of(trial)), colours.ink, number === panel.best ? 2 : 0.75);
        if (number === chosen.number) dot(x, y, 12, null, colours.accent, 2);
      }
    };
    const chart = C.chart({
      x: { range: C.range(points.map((p) => p.x)), label: "learning rate", log: true },
      y: { range: C.range(points.map((p) => p.y)), label: "reg", log: true },
      points, draw, tip: tipOf(panel), pick: (point) => chosen.set(point.number), height: 340,
      label: "Every candidate by learning rate and strength of regularization; colour: the metric on validation rows. The table below has the same numbers.",
    });
    const marks = [panel.trials.some(lost) && "× diverged", panel.rungs.length > 0 && "small: dropped at a rung"].filter(Boolean);
    return { charts: [chart], node: C.el("div", {}, chart, ramp(panel, share), marks.length > 0 && C.el("p", { class: "note key" }, marks.join("; "))) };
  };

  const path = (panel, chosen) => {
    const points = panel.trials.map((trial, number) => ({ number, x: log10(trial.reg), trial })).sort((a, b) => a.x - b.x);
    const line = (read) => points.map((p) => [p.x, read(p.trial)]);
    const range = C.range(points.map((p) => p.x));
    const shared = { tip: tipOf(panel), pick: (point) => chosen.set(point.number) };
    const mark = (pen, read) => {
      const at = points.find((p) => p.number === chosen.number);
      if (at && C.known(read(at.trial))) pen.dot(at.x, read(at.trial), 10, null, pen.colours.accent, 2);
    };
    const ends = (trial) => [-1, 1].map((side) => C.scored(trial) + side * (trial.val_error || 0));
    const scores = points.flatMap((p) => [C.scored(p.trial, "train"), ...ends(p.trial)]).filter(C.known);
    const val = (trial) => C.scored(trial);
    const top = C.chart({
      ...shared,
      x: { range, label: "", log: true },
      y: { range: C.range(scores), label: panel.metric.name, size: 58, format: panel.metric.share ? (share) => C.percent(share, 0) : undefined },
      points: points.map((p) => ({ ...p, y: val(p.trial) })).filter((p) => C.known(p.y)),
      height: 240, label: "The metric on training and validation rows over the strength of regularization",
      draw: (pen) => {
        pen.line(line((trial) => C.scored(trial, "train")), pen.colours.second, 1.75, [5, 4]);
        pen.line(line(val), pen.colours.accent, 2);
        for (const p of points) {
          if (C.known(p.trial.val_error)) pen.line([[p.x, val(p.trial) - p.trial.val_error], [p.x, val(p.trial) + p.trial.val_error]], pen.colours.accent, 1);
          if (C.known(val(p.trial))) pen.dot(p.x, val(p.trial), p.number === panel.best ? 6 : 3.5, p.number === panel.best ? pen.colours.accent : pen.colours.paper, pen.colours.accent, 2);
        }
        mark(pen, val);
      },
    });
    const gap = (trial) => (trial.relative_gap > 0 ? log10(trial.relative_gap) : null);
    const gaps = points.map((p) => gap(p.trial)).filter(C.known);
    const tol = log10(panel.settings.tol);
    const low = C.chart({
      ...shared,
      x: { range, label: "reg", log: true },
      y: { range: C.range([...gaps, tol]), label: "relative gap", log: true, format: (place) => C.gap(10 ** place), size: 58 },
      points: points.map((p) => ({ ...p, y: gap(p.trial) })).filter((p) => C.known(p.y)),
      height: 170, label: "Relative duality gap over the strength of regularization",
      draw: (pen) => {
        pen.line([[range[0], tol], [range[1], tol]], pen.colours.faint, 1, [3, 3]);
        pen.line(line(gap), pen.colours.third, 1.5);
        for (const p of points) if (C.known(gap(p.trial))) pen.dot(p.x, gap(p.trial), 3.5, pen.colours.third);
        mark(pen, gap);
      },
    });
    const key = C.key([["accent open line", `validation${panel.trials.some((trial) => C.known(trial.val_error)) ? ", ± one standard error" : ""}`], ["second dashed", "training"],
      ["third dot line", "relative gap: at most so far from the optimum"], ["faint dashed thin", `the tolerance, ${C.gap(panel.settings.tol)}`]]);
    return { charts: [top, low], node: C.el("div", {}, top, low, key) };
  };

  const curve = (panel, number) => {
    if (!panel.curves) return null;
    const places = panel.curves.steps.map((step, i) => [step, panel.curves.losses[number][i]]).filter((place) => C.known(place[1]));
    if (!places.length) return C.el("p", { class: "note" }, "No finite loss was seen: it diverged at once.");
    const sorted = places.map((place) => place[1]).sort((a, b) => a - b);
    const spread = sorted[sorted.length - 1] / Math.max(sorted[0], 1e-12) > 30 && sorted[0] > 0;
    const shown = places.map(([step, loss]) => [step, spread ? log10(loss) : loss]);
    return C.chart({
      x: { range: [0, Math.max(...panel.curves.steps)], label: "step" },
      y: { range: C.range(shown.map((place) => place[1])), label: "minibatch loss", log: spread, size: 52 },
      points: shown.map(([x, y], i) => ({ x, y, loss: places[i][1] })), height: 200, label: "Loss curve of the chosen candidate",
      tip: (point) => [`loss ${C.short(point.loss, 4)}`, `around step ${Math.round(point.x)}`],
      draw: (pen) => pen.line(shown, pen.colours.accent, 1.5),
    });
  };

  /** The chosen candidate: settings, accuracies, loss curve, templates. */
  const closely = (panel, number) => {
    const trial = panel.trials[number];
    const rank = panel.order.indexOf(number) + 1;
    const rows = [
      C.known(trial.learning_rate) && ["learning rate", C.short(trial.learning_rate)],
      ["reg", C.short(trial.reg)],
      [`validation ${panel.metric.name}`, C.value(panel, C.scored(trial), 2) + (C.known(trial.spread) ? ` ± ${C.value(panel, trial.spread)}` : "")],
      [`training ${panel.metric.name}`, C.value(panel, C.scored(trial, "train"), 2)],
      C.known(trial.objective) && ["objective", C.short(trial.objective, 5)],
      !panel.above && C.known(trial.relative_gap) && ["within", C.gap(trial.relative_gap)],
      C.known(trial.passes) && ["passes", C.count(trial.passes)],
      C.known(trial.steps) && ["steps", C.count(trial.steps)],
      C.known(trial.loss) && ["last loss", C.short(trial.loss, 4)],
      ["status", C.status[trial.status] || trial.status],
    ];
    const sprite = panel.candidates && panel.candidates[number];
    return [
      C.el("h3", {}, `Candidate ${number + 1}`, C.el("span", { class: "badge" }, rank === 1 ? "winner" : `rank ${rank} of ${panel.order.length}`)),
      C.terms(rows),
      curve(panel, number),
      sprite && C.el("div", { class: "tiles small" }, Array.from({ length: sprite.count }, (_, i) =>
        C.el("span", {}, C.tile(sprite, i, `weights of ${panel.classes[i]}`), C.el("small", { title: panel.classes[i] }, panel.classes[i])))),
    ].filter(Boolean);
  };

  C.search = (panel, chosen) => {
    const sgd = panel.solver === "sgd";
    const { charts, node } = (sgd ? scatter : path)(panel, chosen);
    const detail = C.el("div", { class: "closely", "aria-live": "polite" });
    chosen.listen((number) => {
      detail.replaceChildren(...closely(panel, number));
      for (const box of charts) box.chart.redraw();
      C.fitCharts();
    });
    const more = [sgd && "loss curve", panel.candidates && "templates"].filter(Boolean).join(" and ");
    const choose = `Point at a mark for its numbers; choose it ${more ? `for its ${more}` : "to keep them beside"}.`;
    const note = sgd
      ? `Each mark is one candidate, trained on the same minibatches. ${choose}`
      : [`Each strength of regularization was solved to a certificate. ${choose}`, ...panel.range].join(" ");
    return C.section("search", "The search", note, C.el("div", { class: "halves" }, node, detail));
  };
}
