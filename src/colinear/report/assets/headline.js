"use strict";
// The top of the page: what was trained on, and a card for each winner.

{
  /** 'within 0.07 % of the optimum', from the certificate of the model that was kept; '21 % above the optimum' of SGD. */
  C.certificate = (panel) => {
    if (panel.above) return panel.above;
    const refit = panel.details && panel.details.refit;
    const gap = refit ? refit.relative_gap : panel.trials[panel.best].relative_gap;
    if (!C.known(gap)) return null;
    return gap > 1 ? "may be far from the optimum" : `within ${C.gap(gap)} of the optimum`;
  };

  C.setting = (trial) =>
    [C.known(trial.learning_rate) && `learning rate ${C.short(trial.learning_rate)}`, `reg ${C.short(trial.reg)}`].filter(Boolean).join(", ");

  C.datasetLine = ({ dataset, extractor }) => {
    const shape = dataset.image_shape;
    const rows = [
      `${C.count(dataset.n_train)} training`,
      `${C.count(dataset.n_validation)} validation`,
      dataset.n_test === null ? "no test" : `${C.count(dataset.n_test)} test`,
    ];
    const what = shape
      ? `${shape[1]} × ${shape[2]} ${shape[0] === 1 ? "grey" : "colour"} images`
      : `${C.count(dataset.n_features)} features${extractor ? ` (${extractor})` : ""}`;
    return `${rows.join(", ")} rows of ${what} in ${C.count(dataset.class_names.length)} classes`;
  };

  C.headline = (page) => {
    const { panels, comparison } = page;
    const first = panels[0];
    const title = C.el("h1", {}, comparison ? page.title : first.dataset.name);
    const line = comparison
      ? `${new Set(panels.map((panel) => panel.dataset.name)).size === 1 ? `${first.dataset.name}: ` : ""}${panels.length} winners`
      : C.datasetLine(first);
    return C.el("header", { class: "top" },
      C.el("div", { class: "brand" }, C.el("span", {}, "colinear"), C.el("span", { class: "run" }, comparison ? "comparison" : first.run)),
      title,
      C.el("p", { class: "lead" }, line));
  };

  const card = (panel, number, comparison, choose) => {
    const trial = panel.trials[panel.best];
    const { range, choice } = panel.details;
    const among = choice && choice.rule === "1se" ? "chosen from" : "best of";
    const own = panel.test && panel.test.score !== undefined;
    const value = own ? panel.test.score : panel.test ? panel.test.accuracy : C.scored(trial);
    const interval = own ? panel.test.score_interval : panel.test && panel.test.interval;
    const metric = panel.metric.name;
    const under = panel.test
      ? [`95 % interval ${C.value(panel, interval[0])} to ${C.value(panel, interval[1])}`, own && `test accuracy ${C.percent(panel.test.accuracy, 2)}`]
      : [`no test rows: this is the validation ${metric} it was picked by`];
    return C.el("button", { class: "card", type: "button", "data-panel": number, on: { click: () => choose(number) } },
      C.el("span", { class: "cardname" }, comparison ? C.nameOf(panel) : C.capital(panel.loss)),
      C.el("span", { class: "big" }, C.value(panel, value, 2)),
      C.el("span", { class: "cardline" }, `${panel.test ? "test" : "validation"} ${metric}${own && metric === "accuracy" ? " of weighted rows" : ""}`),
      under.filter(Boolean).map((text) => C.el("span", { class: "cardnote" }, text)),
      C.el("span", { class: "cardnote strong" }, C.certificate(panel) || "no certificate of optimality"),
      range && range.warning && C.el("span", { class: "cardnote warning" }, C.words(range.warning)),
      C.el("span", { class: "cardnote" }, `${C.setting(trial)} · ${among} ${panel.trials.length} in ${C.duration(panel.seconds)}`));
  };

  C.cards = (page, choose) =>
    C.el("div", { class: "cards" }, page.panels.map((panel, number) => card(panel, number, page.comparison, choose)));
}
