"use strict";
// What was minimised, where, and how to do it again.

{
  const sub = (text) => C.el("sub", {}, text);
  const it = (text) => C.el("i", {}, text);

  const formula = (panel) => {
    const n = C.count(panel.dataset.n_train);
    const weighted = panel.settings.class_weight !== null || panel.settings.sample_weight !== null;
    const loss = panel.formula.split(/(_\{[^}]*\}|[st](?=_))/).map((part) => (part.startsWith("_") ? sub(part.slice(2, -1)) : part === "s" || part === "t" ? it(part) : part));
    return C.el("p", { class: "formula" }, it("f"), "(", it("W"), ") = ", C.el("span", { class: "fraction" }, C.el("span", {}, "1"), C.el("span", {}, ...(weighted ? ["Σ", sub("i"), " ", it("w"), sub("i")] : [n]))),
      " Σ", sub("i"), " ", ...(weighted ? [it("w"), sub("i")] : []), " [ ", loss, " ] + ", C.short(panel.trials[panel.best].reg), " · Σ ", it("W"), "²,  ", it("s"), " = ", it("W x"));
  };

  const objective = (panel) => {
    const trial = panel.trials[panel.best];
    const { details, dataset } = panel;
    const size = `${C.count(dataset.class_names.length)} × ${C.count(dataset.n_features + (panel.settings.intercept_scaling > 0 ? 1 : 0))}`;
    return C.terms([
      ["weights W", `${size}, the constant feature included${panel.settings.free_intercept ? ", which has no penalty" : ""}`],
      C.known(trial.objective) && ["objective of the winner", C.short(trial.objective, 7)],
      C.known(trial.relative_gap) && (panel.above ? ["it is", panel.above] : ["relative duality gap", `${C.short(trial.relative_gap, 3)}: ${C.certificate({ ...panel, details: {} })}`]),
      details.optimum && ["the optimum lies between", `${C.short(details.optimum.lower, 7)} and ${C.short(details.optimum.upper, 7)}, from ${C.count(details.optimum.passes)} passes over the rows`],
      C.known(trial.loss) && ["mean minibatch loss at the end", C.short(trial.loss, 5)],
      C.known(trial.passes) && ["passes over the rows, winner", C.count(trial.passes)],
      C.known(details.passes) && ["passes, all strengths", C.count(details.passes)],
      C.known(trial.steps) && ["steps of the winner", C.count(trial.steps)],
      details.refit && ["refitted on", `${C.count(details.refit.n_train)} rows, ${C.certificate(panel)}`],
      panel.calibration.length > 0 && ["calibration", panel.calibration.join(" ")],
      details.subspace && ["subspace", Object.entries(details.subspace).map(([key, value]) => `${key} ${typeof value === "number" ? C.short(value, 4) : value}`).join(", ")],
      panel.rungs.length > 0 && ["halving", panel.rungs.map((rung) => `${rung.stayed} of ${rung.entered} stayed at step ${rung.step}`).join("; ")],
      ["time", C.duration(panel.seconds)],
    ]);
  };

  const ENVIRONMENT = { colinear: "colinear", torch: "PyTorch", safetensors: "safetensors", python: "Python", platform: "platform", device: "device", threads: "threads" };

  const command = (panel) => {
    const code = C.el("code", {}, C.words(panel.command));
    const copy = C.el("button", { type: "button", class: "copy small" }, "copy");
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(panel.command);
        copy.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(code);
        copy.textContent = "selected";
      }
      setTimeout(() => (copy.textContent = "copy"), 1500);
    });
    return C.el("div", { class: "command" }, C.el("pre", {}, code), copy);
  };

  C.facts = (panel) =>
    C.section("facts", "The objective", "A mean over training rows and a penalty; its minimum is what the certificate is about.", formula(panel), objective(panel),
      C.el("h3", {}, "Environment"),
      C.terms([...Object.entries(ENVIRONMENT).map(([key, name]) => panel.environment[key] !== undefined && [name, String(panel.environment[key])]), ["data fingerprint", panel.dataset.fingerprint], panel.finished && ["finished", panel.finished]]),
      C.el("h3", {}, "The command that repeats this run"), command(panel));
}
