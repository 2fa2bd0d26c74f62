"""Labels for rows in JSON: python serve.py model.onnx 127.0.0.1:8080"""

import json
import sys

import numpy as np
import onnxruntime
from waitress import serve

model = onnxruntime.InferenceSession(sys.argv[1])
door = model.get_inputs()[0]
dtype = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(double)": np.float64}[door.type]


def app(environ, start_response):
    try:
        rows = np.asarray(json.load(environ["wsgi.input"]), dtype)
        if not np.isfinite(rows).all():
            raise ValueError("NaN and infinity have no label")
        status, answer = "200 OK", {"labels": model.run(["class_name"], {door.name: rows})[0].tolist()}
    except Exception:  # whatever a stranger can send
        status, answer = "400 Bad Request", {"error": f"send rows of finite numbers, of shape {door.shape}, as JSON"}
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


serve(app, listen=sys.argv[2], max_request_body_size=1_000_000, threads=2)
