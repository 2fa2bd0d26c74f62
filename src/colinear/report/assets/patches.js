"use strict";
// Features of a picture from a dictionary of whitened patches, in double precision: the formulas of extractors/patches.py.

{
  /** Raw pixels (channels * height * width) of one place as a whitened patch, in `white`. */
  const whiten = (spec, row, [, height, width], top, left, scale, patch, white) => {
    const { size, contrast, mean, whitener } = spec;
    const d = patch.length;
    let sum = 0;
    for (let i = 0; i < d; i++) {
      const channel = Math.floor(i / (size * size));
      const y = top + (Math.floor(i / size) % size);
      patch[i] = row[(channel * height + y) * width + left + (i % size)] * scale;
      sum += patch[i];
    }
    let squares = 0;
    for (let i = 0; i < d; i++) squares += (patch[i] -= sum / d) ** 2;
    const deviation = Math.sqrt(squares / (d - 1) + contrast);
    white.fill(0);
    for (let i = 0; i < d; i++) {
      const one = patch[i] / deviation - mean[i];
      for (let j = 0; j < d; j++) white[j] += one * whitener[i * d + j];
    }
  };

  /**
   * {near, sums, width, height}: the activations of every place (place * count + centre), places a line and lines, and
   * their sums over quadrants (quadrant * count + centre), which are the features.
   */
  C.patches = (spec, row, shape, range) => {
    const { count, size, mean, centres } = spec;
    const d = mean.length;
    const [height, width] = [shape[1] - size + 1, shape[2] - size + 1];
    const near = new Float64Array(height * width * count);
    const sums = new Float64Array(4 * count);
    const [patch, white] = [new Float64Array(d), new Float64Array(d)];
    for (let place = 0; place < height * width; place++) {
      whiten(spec, row, shape, Math.floor(place / width), place % width, 255 / range, patch, white);
      const start = place * count;
      let total = 0;
      for (let k = 0; k < count; k++) {
        let square = 0;
        for (let j = 0, at = k * d; j < d; j++) square += (white[j] - centres[at + j]) ** 2;
        total += near[start + k] = Math.sqrt(square);
      }
      const quadrant = C.quadrant(place, width, height) * count;
      for (let k = 0; k < count; k++) sums[quadrant + k] += near[start + k] = Math.max(0, total / count - near[start + k]);
    }
    return { near, sums, width, height };
  };

  C.quadrant = (place, width, height) => 2 * (Math.floor(place / width) >= Math.floor(height / 2)) + (place % width >= Math.floor(width / 2));
}
