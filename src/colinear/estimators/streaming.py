"""`partial_fit`: minibatch SGD over rows that come a part at a time."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data
from torch import Tensor

from colinear.checks import InputError, check_count, check_number
from colinear.estimators.base import LinearClassifierBase, as_array, plain
from colinear.estimators.fitting import Fit, pick_device
from colinear.estimators.inputs import as_matrix, encode_known, has_answers
from colinear.losses import LOSSES
from colinear.solvers.sgd import SGD
from colinear.solvers.solution import Status

OF_A_FIT = ("objective_", "gap_", "relative_gap_", "C_", "_path")  # what nobody knows of rows that have gone by


def _streams(estimator: Any) -> bool:
    if estimator.solver != "sgd":
        named = f"{type(estimator).__name__!r} object has no attribute 'partial_fit'"
        raise AttributeError(f"{named}: it needs solver='sgd'; got solver={estimator.solver!r}.")
    return True


class Streaming(LinearClassifierBase):
    """What an estimator with solver='sgd' has besides `fit`."""

    @available_if(_streams)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go on from the weights at hand, with about one pass over these rows: ceil(n / batch_size) steps of SGD.

            learning rate of a call = r / (1 + 2 reg r t),   t the steps of all calls before

        X (n, d), y (n,) : one part of the rows.   classes : all labels, on the first call; later None or the same.
        sample_weight : None: rows are drawn evenly.
        r is `learning_rate`, or from the size of the first part's rows, as in `fit`. The strength is `reg`: C counts
        all rows, and nobody knows how many come. There is no certificate, since it takes all rows, and no `path_`.
        Attributes : `steps_` (t), `learning_rate_` (r), `reg_`, and the weights. `fit` begins anew.
        Returns  self.
        Raises   `InputError` for labels that are not in `classes`, weights, `standardize`, C, and a divergence.
        Source   Bottou 2012, Stochastic Gradient Descent Tricks (the decay).

        >>> from colinear import SoftmaxClassifier
        >>> rows, labels = np.array([[0.0], [1.0], [2.0], [3.0]] * 50), np.array(["no", "no", "yes", "yes"] * 50)
        >>> model = SoftmaxClassifier(solver="sgd", reg=1e-3, batch_size=32)
        >>> for part in np.split(np.arange(200), 4):
        ...     model = model.partial_fit(rows[part], labels[part], classes=["no", "yes"])
        >>> model.steps_, model.score(rows, labels) > 0.7
        (8, True)
        """
        if sample_weight is not None or self.class_weight is not None:
            raise InputError("solver='sgd' draws rows evenly and takes no weights. Use fit with solver='exact'.")
        if self.standardize:
            raise InputError(
                "partial_fit sees a part of the rows: standardize them before (StandardScaler.partial_fit)."
            )
        if self.reg is None:
            raise InputError("partial_fit needs the strength as reg: C counts all rows, and it sees a part of them.")
        if has_answers(y):
            raise InputError("partial_fit takes one label a row. Give rows of many labels to fit.")
        reg, seed = check_number("reg", plain(self.reg), above=0), self._seed()
        batch_size = check_count("batch_size", plain(self.batch_size))
        first = not hasattr(self, "coef_")
        if first and classes is None:
            raise InputError("classes must be passed on the first call to partial_fit: all labels that will come.")
        known = self.classes_ if classes is None else np.unique(np.asarray(classes))
        if not first and not np.array_equal(known, self.classes_):
            raise InputError(f"classes must be those of the first call, {list(self.classes_)}; got {list(known)}.")
        rows = as_matrix(X)
        validate_data(self, X, reset=first, skip_check_array=True)
        codes = encode_known(y, known, len(rows))
        with torch.inference_mode():
            fit = Fit.prepare(
                rows, codes, len(known), None, self._loss, bias=self._bias(),
                penalize=bool(self.penalize_intercept), standardize=False,
                device=pick_device(self.device, rows),
            )  # fmt: skip
            self._walk(fit, reg, batch_size, seed, None if first else self._weights(fit))
        self.classes_, self.multilabel_, self.reg_ = known, False, reg
        return self

    def _weights(self, fit: Fit) -> Tensor:
        """The weights at hand, on the rows as `fit` scales them."""
        held = as_array(self.coef_), self.intercept_
        return fit.unfold(*(torch.as_tensor(part, dtype=torch.float64) for part in held))

    def _walk(self, fit: Fit, reg: float, batch_size: int, seed: int, start: Tensor | None) -> None:
        """Take the steps of one call, and their weights over."""
        features, before = fit.objective.features, getattr(self, "steps_", 0)
        rate = getattr(self, "learning_rate_", None) if self.learning_rate is None else plain(self.learning_rate)
        rate = check_number("learning_rate", fit.usual_rate(reg, seed) if rate is None else rate, above=0)
        coef = torch.zeros(features.n_classes, features.n_features, dtype=features.dtype, device=features.device)
        if start is not None:
            coef.copy_(start)
        sgd = SGD(math.ceil(features.n_samples / batch_size), batch_size)
        rates, regs = (torch.tensor([v], dtype=torch.float64) for v in (rate / (1 + 2 * reg * rate * before), reg))
        state = sgd.start(coef, rates, regs, torch.Generator().manual_seed((seed + before) % 2**63))
        result = sgd.result(sgd.advance(state, features, LOSSES[self._loss], sgd.steps)).double()
        if sgd.statuses(state)[0] is Status.DIVERGED:
            raise InputError(f"SGD diverged at learning_rate={rate:.3g}. Lower it, or scale the features.")
        self._take(fit, result[0])
        self.steps_, self.learning_rate_ = before + sgd.steps, rate
        self.n_iter_ = np.array([1])
        for name in OF_A_FIT:
            self.__dict__.pop(name, None)
