"""A model as an ONNX graph: raw rows in, label, class name, scores and probabilities out.

Where features are made of raw rows, by `hog`, `patches` or `kernel`, the graph makes them too.

Sums run in float64 inside the graph: with float32 weights and pixels, which are whole numbers, every product is exact
and scores are those of the stored weights to 1e-15. Two runtimes agree on the label of all but exact ties.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.export.features import Nodes, add_extractor, has_nodes, rows_together
from colinear.extractors import RowKind
from colinear.model import LinearModel

OPSET = 17
IR_VERSION = 8  # what belongs to opset 17: runtimes from 2022 on read it
PIXEL_RANGE = 255.0


def input_kind(model: LinearModel) -> RowKind:
    """The rows that the graph takes: raw ones, or features that only a network or a function can make."""
    if model.extractor is not None and has_nodes(model.extractor):
        return model.extractor.rows
    return RowKind(model.n_features, model.image_shape, model.value_range)


def takes_images(model: LinearModel) -> bool:
    """Whether the graph's input is `images` uint8 (N, channels, height, width): models of 8-bit pixels."""
    kind = input_kind(model)
    return kind.image_shape is not None and kind.value_range == PIXEL_RANGE


def build_graph(model: LinearModel) -> bytes:
    """The bytes of an ONNX file, checked by onnx itself. Raises `InputError` if onnx is not installed."""
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise InputError("export to onnx needs the onnx package: pip install 'colinear[onnx]'.") from None

    def constant(name: str, values: Any) -> Any:
        return numpy_helper.from_array(np.asarray(values), name)

    c, raw, made = model.n_classes, input_kind(model), Nodes()
    kind = TensorProto.DOUBLE if model.weight.dtype == torch.float64 else TensorProto.FLOAT
    constants = [
        constant("weight", model.weight.cpu().mT.contiguous().numpy()),
        constant("bias", model.bias.cpu().numpy()),
    ]
    name = input_name(model)
    if takes_images(model):
        source = helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", *(raw.image_shape or ())])
    else:
        source = helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(_type(model)), ["N", raw.n_inputs])
    if model.extractor is not None and has_nodes(model.extractor):
        add_extractor(made, model.extractor, name, "features")
    elif takes_images(model):
        made.add("Reshape", name, made.constant([0, raw.n_inputs], np.int64), output="features")  # 0: all rows
    nodes = made.nodes
    for name in ("features", "weight", "bias"):
        nodes.append(helper.make_node("Cast", [name], [f"{name}_double"], to=TensorProto.DOUBLE))
    shifting, decides = [], "scores_double"
    if model.thresholds is not None:
        constants.append(constant("thresholds", np.array(model.thresholds, dtype=np.float64)))
        shifting, decides = [helper.make_node("Sub", ["scores_double", "thresholds"], ["shifted"])], "shifted"
    nodes += [
        helper.make_node("MatMul", ["features_double", "weight_double"], ["products"]),
        helper.make_node("Add", ["products", "bias_double"], ["scores_double"]),
        *shifting,
        helper.make_node("Cast", ["scores_double"], ["scores"], to=kind),
    ]
    outputs = [helper.make_tensor_value_info("scores", kind, ["N", c])]
    together = model.probability == "sigmoid" and not model.many  # sigmoids over their sum
    if model.many or together:
        constants.append(constant("zero", np.zeros((), dtype=np.float64)))
    if model.many:
        nodes.append(helper.make_node("Greater", [decides, "zero"], ["above"]))
        nodes.append(helper.make_node("Cast", ["above"], ["labels"], to=TensorProto.INT64))
        outputs.insert(0, helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", c]))
    else:
        constants.append(constant("class_names", np.array(model.class_names, dtype=object)))
        nodes.append(helper.make_node("ArgMax", [decides], ["label"], axis=1, keepdims=0, select_last_index=0))
        nodes.append(helper.make_node("Gather", ["class_names", "label"], ["class_name"]))
        outputs.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]))
        outputs.insert(1, helper.make_tensor_value_info("class_name", TensorProto.STRING, ["N"]))
    if model.has_probabilities:
        logarithms = "scores_double"
        if model.temperature is not None:
            constants.append(constant("temperature", np.array(model.temperature, dtype=np.float64)))
            nodes.append(helper.make_node("Div", ["scores_double", "temperature"], ["cooled"]))
            logarithms = "cooled"
        if together:  # log sigmoid(s) = min(s, 0) - log(1 + exp(-|s|))
            logarithms = "log_shares"
            constants.append(constant("one", np.ones((), dtype=np.float64)))
            nodes += [
                helper.make_node("Min", ["scores_double", "zero"], ["below"]),
                helper.make_node("Abs", ["scores_double"], ["size"]),
                helper.make_node("Neg", ["size"], ["minus_size"]),
                helper.make_node("Exp", ["minus_size"], ["small"]),
                helper.make_node("Add", ["small", "one"], ["odds"]),
                helper.make_node("Log", ["odds"], ["log_odds"]),
                helper.make_node("Sub", ["below", "log_odds"], [logarithms]),
            ]
        alone = model.many and model.probability == "sigmoid"
        last = helper.make_node("Sigmoid", [logarithms], ["shares"]) if alone else None
        nodes.append(last or helper.make_node("Softmax", [logarithms], ["shares"], axis=1))
        nodes.append(helper.make_node("Cast", ["shares"], ["probabilities"], to=kind))
        outputs.append(helper.make_tensor_value_info("probabilities", kind, ["N", c]))
    graph = helper.make_graph(nodes, "colinear", [source], outputs, constants + made.constants)
    built = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="colinear"
    )
    helper.set_model_props(
        built,
        {"class_names": json.dumps(model.class_names), "provenance": json.dumps(model.provenance, sort_keys=True)},
    )
    onnx.checker.check_model(built, full_check=True)
    return bytes(built.SerializeToString())


def run_graph(content: bytes, model: LinearModel, rows: Tensor) -> Tensor | None:
    """Scores (n, c) that onnxruntime finds, their maximum put at the label it gives; None if it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    size = rows_together(model.extractor) if has_nodes(model.extractor) and model.extractor else len(rows)

    def run(*names: str) -> list[Any]:
        parts = [session.run(names, graph_input(model, part)) for part in torch.split(rows, max(size, 1))]
        return [np.concatenate(one) for one in zip(*parts, strict=True)]

    if model.many:
        labels, scores = (torch.from_numpy(one) for one in run("labels", "scores"))
        # a score whose answer is not that of its sign counts as infinitely wrong
        return torch.where((scores > 0) == (labels > 0), scores, torch.full_like(scores, float("inf")))
    found = run("label", "class_name", "scores")
    labels, names, scores = torch.from_numpy(found[0]), found[1].tolist(), torch.from_numpy(found[2])
    named = [model.class_names[label] for label in labels.tolist()] == names
    shifted = model.shift(scores)
    if not named or bool((shifted > shifted.gather(1, labels.unsqueeze(1))).any()):
        return torch.full_like(scores, float("inf"))  # the label is not that of the largest score
    scores = scores.double()
    best = scores.gather(1, labels.unsqueeze(1))
    return scores.scatter(1, labels.unsqueeze(1), torch.nextafter(best, torch.full_like(best, float("inf"))))


def graph_input(model: LinearModel, rows: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """Raw rows (n, d) as the graph's one input, by name."""
    if takes_images(model):
        if rows.dtype != torch.uint8:
            raise InputError(f"rows for a model of 8-bit images must be uint8; got {rows.dtype}.")
        return {"images": rows.view(-1, *(input_kind(model).image_shape or ())).cpu().numpy()}
    return {input_name(model): rows.cpu().numpy().astype(_type(model), order="C")}


def input_name(model: LinearModel) -> str:
    """`images` of 8-bit pixels; `rows` of others of which the graph makes features; `features`."""
    return "images" if takes_images(model) else "rows" if has_nodes(model.extractor) else "features"


def _type(model: LinearModel) -> np.dtype[Any]:
    """Of input that is no image: features have the weights' type, raw numbers of tables need all their digits."""
    wide = model.weight.dtype == torch.float64
    if has_nodes(model.extractor):
        wide = input_kind(model).image_shape is None
    return np.dtype(np.float64 if wide else np.float32)
