"""`scoring`, `groups` and scikit-learn's metadata routing: who is given what in a cross-validation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sklearn import get_config
from sklearn.metrics import get_scorer
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping, process_routing

from colinear.checks import InputError
from colinear.estimators.base import LinearClassifierBase


class Scored(LinearClassifierBase):
    """What has `scoring` and `cv`: a score by the one, and metadata for both."""

    # `score` takes it by position, too, but what it asks for is the scorer's
    __metadata_request__score: ClassVar[dict[str, str]] = {"sample_weight": UNUSED}

    def score(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> float:
        """The score of rows X with labels y by `scoring`; accuracy where that is None.

        sample_weight, params : as of `fit`; without metadata routing, what the scorer is given.
        """
        given = params if sample_weight is None else {**params, "sample_weight": sample_weight}
        if get_config()["enable_metadata_routing"]:
            given = process_routing(self, "score", **given).scorer.score
        elif params:
            refuse_params(self, "score", params)
        return float(self._get_scorer()(self, X, y, **given))

    def get_metadata_routing(self) -> MetadataRouter:
        """Who is given what of the metadata of `fit` and `score`: the splitter and the scorer, what they request."""
        to_splitter = MethodMapping().add(caller="fit", callee="split")
        to_scorer = MethodMapping().add(caller="fit", callee="score").add(caller="score", callee="score")
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        return router.add(splitter=self.cv, method_mapping=to_splitter).add(
            scorer=self._get_scorer(), method_mapping=to_scorer
        )

    def _get_scorer(self) -> Any:
        scorer = get_scorer("accuracy" if self.scoring is None else self.scoring)
        if not callable(scorer):
            raise InputError(f"scoring must be one name of scikit-learn's scorers or a function; got {scorer!r}.")
        return scorer

    def _route(self, sample_weight: Any, params: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """What the splitter's `split` and the scorer are given."""
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
            return {"split": routed.splitter.split, "score": routed.scorer.score}
        refuse_params(self, "fit", params.keys() - {"groups"})
        return {"split": params, "score": {} if sample_weight is None else {"sample_weight": sample_weight}}


def refuse_params(estimator: Any, method: str, params: Iterable[str]) -> None:
    """Raise `InputError` for metadata that nobody can be given while routing is off."""
    names = sorted(params)
    if names:
        raise InputError(
            f"passing {', '.join(names)} to {type(estimator).__name__}.{method} is only supported if "
            "enable_metadata_routing=True. Call sklearn.set_config for that, and set who requests it."
        )
