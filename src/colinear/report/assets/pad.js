"use strict";
// Where a digit is drawn by hand: ink on the background of the training pictures.

{
  const SIDE = 224; // CSS pixels, about

  /**
   * A pad for grey pictures on plain black or white, null for others. done({rgba, width, height}): after each stroke, the
   * drawing, many times as large as the model's picture; cleared(): it is empty again.
   */
  C.pad = ({ shape: [channels, height, width], light }, done, cleared) => {
    if (channels !== 1 || light === null || Math.max(height, width) > SIDE) return null;
    const scale = Math.max(1, Math.round(SIDE / height));
    const canvas = C.el("canvas", { class: "pad", width: width * scale, height: height * scale, role: "img", "aria-label": "Draw here" });
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const [ink, ground] = light ? ["#fff", "#000"] : ["#000", "#fff"];
    const clear = () => {
      pen.fillStyle = ground;
      pen.fillRect(0, 0, canvas.width, canvas.height);
    };
    const place = (event) => [(event.offsetX * canvas.width) / canvas.clientWidth, (event.offsetY * canvas.height) / canvas.clientHeight];
    let last = null;
    const stroke = (event) => {
      if (!last) return;
      const next = place(event);
      pen.lineCap = "round";
      pen.lineWidth = Math.max(1.25 * scale, 0.09 * canvas.height); // a pen of the training pictures' width
      pen.strokeStyle = ink;
      pen.beginPath();
      pen.moveTo(...last);
      pen.lineTo(...next);
      pen.stroke();
      last = next;
    };
    const lift = () => {
      if (!last) return;
      last = null;
      done({ rgba: pen.getImageData(0, 0, canvas.width, canvas.height).data, width: canvas.width, height: canvas.height });
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = place(event);
      stroke(event); // a dot
    });
    canvas.addEventListener("pointermove", stroke);
    for (const event of ["pointerup", "pointercancel"]) canvas.addEventListener(event, lift);
    clear();
    const again = C.el("button", { type: "button", class: "small", on: { click: () => { clear(); cleared(); } } }, "Clear");
    return C.el("div", { class: "drawing" }, canvas, C.el("small", {}, "or draw here, large enough to fill the frame", again));
  };
}
