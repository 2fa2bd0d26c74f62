"use strict";
// 'Try it': an image is scored in the page with the embedded weights, and the score taken apart pixel by pixel, or patch
// by patch where patches make the features.

{
  const SHOWN = 10;

  const PLAIN = 0.25; // as datasets/border.py: a border this near to black or white is a background

  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const numbers = (text) => {
    const view = new DataView(bytes(text).buffer);
    return Float32Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
  };

  /** Whether training pictures are light ink on dark, or dark on light, and this one is the other. */
  const inverted = ({ shape: [channels, height, width], range, light }, row) => {
    if (light === null) return false;
    let [sum, count] = [0, 0];
    for (let i = 0; i < channels * height * width; i++) {
      const [y, x] = [Math.floor(i / width) % height, i % width];
      if (y === 0 || x === 0 || y === height - 1 || x === width - 1) { sum += row[i] / range; count++; }
    }
    return light ? sum / count >= 1 - PLAIN : sum / count <= PLAIN;
  };

  /** {scores, row}: weight @ row + bias, summed in double precision. */
  const score = ({ weight, bias }, row) =>
    Array.from(bias, (start, k) => {
      let sum = start;
      for (let i = 0; i < row.length; i++) sum += weight[k * row.length + i] * row[i];
      return sum;
    });

  const softmax = (scores) => {
    const top = Math.max(...scores);
    const powers = scores.map((one) => Math.exp(one - top));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((one) => one / sum);
  };

  const sigmoid = (score) => 1 / (1 + Math.exp(-score));
  // of one class a row, sigmoids over their sum: by their logarithms, for a row that no class claims
  const probabilities = (panel, scores) => {
    if (panel.link === "softmax") return softmax(scores);
    return panel.many ? scores.map(sigmoid) : softmax(scores.map((score) => Math.min(score, 0) - Math.log1p(Math.exp(-Math.abs(score)))));
  };

  const paint = (width, height, colourOf, label) => {
    const canvas = C.el("canvas", { class: "tile", width, height, role: "img", "aria-label": label });
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(width, height);
    for (let i = 0; i < width * height; i++) image.data.set([...colourOf(i), 255], 4 * i);
    pen.putImageData(image, 0, 0);
    return canvas;
  };

  /** What each pixel, or each place of a patch, gives to the score of a class: {parts, width, height}. */
  const taken = (panel, model, { row, made }, chosen) => {
    const [, height, width] = panel.weights.shape;
    if (!made) {
      const parts = new Float64Array(height * width);
      for (let i = 0; i < row.length; i++) parts[i % parts.length] += model.weight[chosen * row.length + i] * row[i];
      return { parts, width, height };
    }
    const { count } = model.patches;
    const parts = new Float64Array(made.width * made.height);
    for (let place = 0; place < parts.length; place++) {
      const weights = (4 * chosen + C.quadrant(place, made.width, made.height)) * count;
      for (let k = 0; k < count; k++) parts[place] += model.weight[weights + k] * made.near[place * count + k];
    }
    return { parts, width: made.width, height: made.height };
  };

  const picture = ({ shape: [channels, height, width], range }, row, label) =>
    paint(width, height, (i) => [0, 1, 2].map((c) => (255 * row[(channels === 1 ? 0 : c) * height * width + i]) / range), label);

  /** A bar from the line of zero, to the left where the value is below it, on a scale from `low` to `high`. */
  const bar = (value, low, high) => {
    const place = (one) => (100 * (one - low)) / (high - low || 1);
    const [from, to] = [Math.min(0, value), Math.max(0, value)];
    return C.el("span", { class: "meter" }, C.el("b", { css: { left: `${place(0)}%` } }),
      C.el("i", { class: value < 0 ? "below" : null, css: { left: `${place(from)}%`, width: `${place(to) - place(from)}%` } }));
  };

  const result = (panel, model, shown, scores, chosen, choose) => {
    const { row, made } = shown;
    const [, height, width] = panel.weights.shape;
    const given = picture(panel.weights, row, "the image as the model sees it");
    const what = made ? "patch" : "pixel";
    const found = taken(panel, model, shown, chosen);
    const { parts } = found;
    const peak = parts.reduce((most, one) => Math.max(most, Math.abs(one)), 1e-30);
    const heat = paint(found.width, found.height, (i) => C.diverging(parts[i] / peak), `contribution of each ${what}`);
    const sum = parts.reduce((a, b) => a + b, 0);
    const bias = model.bias[chosen];

    const { temperature, thresholds } = panel.weights;
    const shares = panel.link ? probabilities(panel, scores.map((one) => one / (temperature || 1))) : null;
    const decides = scores.map((one, k) => one - (thresholds ? thresholds[k] : 0));
    const order = scores.map((_, k) => k).sort((a, b) => decides[b] - decides[a] || a - b).slice(0, SHOWN);
    const [low, high] = shares ? [0, 1] : [Math.min(0, ...scores), Math.max(0, ...scores)];
    const bars = order.map((k) => C.el("button", {
      type: "button", class: `scorebar${k === chosen ? " chosen" : ""}`, "aria-pressed": String(k === chosen),
      "data-class": k, "data-score": scores[k], on: { click: () => choose(k) },
    },
    C.el("span", { class: "clip", title: panel.classes[k] }, panel.classes[k]),
    bar(shares ? shares[k] : scores[k], low, high),
    C.el("span", { class: "value" }, shares ? C.percent(shares[k]) : C.fixed(scores[k], 3)),
    shares && C.el("span", { class: "value faint" }, C.fixed(scores[k], 3))));
    const name = panel.classes[chosen];
    return [
      C.el("p", { class: "verdict" }, panel.many ? "Classes: " : "Label: ", C.el("strong", { class: "label" }, panel.many ? order.filter((k) => decides[k] > 0).map((k) => panel.classes[k]).join(", ") || "none" : panel.classes[order[0]])),
      C.el("div", { class: "pictures" },
        C.el("span", {}, given, C.el("small", {}, `as the model sees it, ${width} × ${height}`)),
        C.el("span", {}, heat, C.el("small", {}, "red: for ", C.el("b", {}, name), ", blue: against"))),
      C.el("p", { class: "sum" }, `score of ${name} = ${made ? "patches" : "pixels"} ${C.fixed(sum, 4)} ${bias < 0 ? "−" : "+"} bias ${C.fixed(Math.abs(bias), 4)} = `, C.el("strong", {}, C.fixed(sum + bias, 4))),
      C.el("div", { class: "bars", role: "group", "aria-label": "Classes" }, bars),
      C.el("p", { class: "note" }, `${shares ? "Probability and score" : "Score"} of ${order.length < scores.length ? `the ${order.length} best of ${scores.length} classes` : "every class"}. Choose one to see what each ${what} gives to it; the ${made ? "patches" : "pixels"} and the bias add up to the score exactly.`),
    ];
  };

  /** Test pictures that may be shown, one of a class; a choice gives its raw row to `take`. */
  const samples = (panel, take) => {
    if (!panel.samples) return null;
    const rows = panel.samples.map((text) => Float64Array.from(bytes(text)));
    return C.el("div", { class: "samples", role: "group", "aria-label": "Test pictures" }, rows.map((row, k) =>
      C.el("button", { type: "button", title: `a test picture of ${panel.classes[k]}`, on: { click: () => take(row) } }, picture(panel.weights, row, panel.classes[k]))),
    C.el("small", {}, "or choose a test picture, one of each class"));
  };

  C.tryIt = (panel) => {
    if (!panel.weights) {
      const why = panel.extractor ? `Features of ${panel.extractor} are not made in this page` : panel.templates ? "The model is too large to lie in this page" : "The model takes rows of numbers, no images";
      return C.section("tryit", "Try it", `${why}: use the command colinear predict model-${panel.loss}.safetensors.`);
    }
    const { patches } = panel.weights;
    const model = { weight: numbers(panel.weights.weight), bias: numbers(panel.weights.bias) };
    if (patches) model.patches = { ...patches, ...Object.fromEntries(["mean", "whitener", "centres"].map((name) => [name, numbers(patches[name])])) };
    const answer = C.el("div", { class: "answer", "aria-live": "polite" });
    const input = C.el("input", { type: "file", accept: "image/*" });
    const drop = C.el("label", { class: "drop" }, input, C.el("span", {}, C.el("strong", {}, "Choose an image"), " or drop one here"), C.el("small", {}, "It is scored in this page and goes nowhere."));

    const show = (given, scores, chosen) => answer.replaceChildren(...given.notice, ...result(panel, model, given, scores, chosen, (k) => show(given, scores, k)));
    const take = (row) => {
      const made = patches ? C.patches(model.patches, row, panel.weights.shape, panel.weights.range) : null;
      const scores = score(model, made ? made.sums : row);
      const { thresholds, range, light } = panel.weights;
      const decides = scores.map((one, k) => one - (thresholds ? thresholds[k] : 0));
      const exchange = () => take(row.map((one) => range - one));
      const notice = inverted(panel.weights, row) ? [C.el("p", { class: "trouble" }, `It looks inverted: the training pictures are ${light ? "light ink on dark" : "dark ink on light"}. `,
        C.el("button", { type: "button", class: "small", on: { click: exchange } }, "Exchange black and white"))] : [];
      show({ row, made, notice }, scores, decides.indexOf(Math.max(...decides)));
    };
    const read = async (file) => {
      if (!file) return;
      try {
        take(C.rawRow(await C.decode(file), panel.weights.shape, panel.weights.range));
      } catch (error) {
        answer.replaceChildren(C.el("p", { class: "trouble" }, `${file.name} cannot be read as an image here. Give a PNG or JPEG file.`));
      }
    };
    input.addEventListener("change", () => read(input.files[0]));
    for (const [event, over] of [["dragover", true], ["dragleave", false], ["drop", false]])
      drop.addEventListener(event, (at) => {
        at.preventDefault();
        drop.classList.toggle("over", over);
        if (event === "drop") read(at.dataTransfer.files[0]);
      });
    return C.section("tryit", "Try it", `A linear model has no secrets: every score is a sum over ${patches ? "patches" : "pixels"}.`,
      C.el("div", { class: "ways" }, drop, C.pad(panel.weights, (drawn) => take(C.rawRow(drawn, panel.weights.shape, panel.weights.range)), () => answer.replaceChildren()), samples(panel, take)), answer);
  };
}
