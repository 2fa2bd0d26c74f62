"use strict";
// From any picture to the numbers a model takes, with the arithmetic of the program's own reader (Pillow), so that
// an opaque PNG of any size gets the same scores here and there. Two things are the browser's: how it decodes a JPEG
// (a level or two of 255), and how it blends half-transparent pixels with white (one level).

{
  const BITS = 22; // fixed point of Pillow's 8-bit resampling: Resample.c, PRECISION_BITS = 32 - 8 - 2
  const ONE = 2 ** BITS;

  /** For each of `out` places: the first of `size` inputs it reads, and their weights: Pillow's bilinear filter. */
  const weightsOf = (size, out) => {
    const scale = size / out;
    const stretch = Math.max(scale, 1);
    return Array.from({ length: out }, (_, place) => {
      const center = (place + 0.5) * scale;
      const first = Math.max(0, Math.trunc(center - stretch + 0.5));
      const end = Math.min(size, Math.trunc(center + stretch + 0.5));
      const raw = Array.from({ length: end - first }, (_, i) => Math.max(0, 1 - Math.abs((i + first - center + 0.5) * (1 / stretch))));
      const sum = raw.reduce((a, b) => a + b, 0);
      return { first, weights: raw.map((weight) => Math.trunc(0.5 + (sum !== 0 ? weight / sum : weight) * ONE)) };
    });
  };

  /** Resample one direction: `lines` lines of `size` values, `step` apart inside a line, `jump` from line to line. */
  const along = (from, size, step, lines, jump, out, outStep, outJump) => {
    const to = new Uint8Array(lines * out);
    weightsOf(size, out).forEach(({ first, weights }, place) => {
      for (let line = 0; line < lines; line++) {
        let sum = ONE / 2;
        for (let i = 0; i < weights.length; i++) sum += weights[i] * from[line * jump + (first + i) * step];
        to[line * outJump + place * outStep] = Math.min(255, Math.max(0, Math.floor(sum / ONE)));
      }
    });
    return to;
  };

  /** One layer (height x width, Uint8Array) at another size: first along lines, then along columns, 8 bits between. */
  C.resize = (layer, width, height, toWidth, toHeight) => {
    const wide = width === toWidth ? layer : along(layer, width, 1, height, width, toWidth, 1, toWidth);
    return height === toHeight ? wide : along(wide, height, toWidth, toWidth, 1, toHeight, toWidth, 1);
  };

  /** The layers of RGBA pixels: red, green, blue, or their luma as Pillow rounds it (ITU-R 601-2). */
  C.layers = (rgba, channels) => {
    const count = rgba.length / 4;
    const layers = Array.from({ length: channels }, () => new Uint8Array(count));
    for (let i = 0; i < count; i++) {
      const [r, g, b] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
      if (channels === 1) layers[0][i] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
      else [layers[0][i], layers[1][i], layers[2][i]] = [r, g, b];
    }
    return layers;
  };

  /** Pixels of a file, upright, on white: {rgba, width, height}. */
  C.decode = async (file) => {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
    const { width, height } = bitmap;
    const canvas = C.el("canvas", { width, height });
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    pen.drawImage(bitmap, 0, 0);
    bitmap.close();
    return { rgba: pen.getImageData(0, 0, width, height).data, width, height };
  };

  /** Raw numbers of the model's `shape` [channels, height, width], channel by channel, white being `range`. */
  C.rawRow = ({ rgba, width, height }, shape, range) => {
    const [channels, toHeight, toWidth] = shape;
    const row = new Float64Array(channels * toHeight * toWidth);
    C.layers(rgba, channels).forEach((layer, channel) =>
      row.set(C.resize(layer, width, height, toWidth, toHeight), channel * toHeight * toWidth));
    return range === 255 ? row : row.map((value) => Math.round(value * (range / 255)));
  };
}
