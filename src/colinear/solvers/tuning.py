"""Limits and sizes of the exact path that a researcher may want to vary; none of them changes what is certified."""

from __future__ import annotations

from dataclasses import dataclass, fields

from colinear.checks import InputError, check_count
from colinear.datasets.features import CHUNK_ROWS


@dataclass(frozen=True)
class Tuning:
    """Where the exact path spends memory and work.

    batch_rows : rows, strengths times classes, of the matrix of a group of strengths that are solved at once. More
    serve more strengths with each pass; fewer let more of them start near their optimum, from the groups before. In 300
    classes seven strengths take 502 passes in all as one group, 82 one by one; 45 of images in 10, 1,427 and 732.
    batch_bytes : history and work arrays of such a group, at most, where memory is short.
    memory : pairs that L-BFGS keeps, and four times as many of 10,000 rows and more, whose passes are dear, where
    batch_bytes holds them: each is 2 k c d numbers. Nocedal & Wright 7.2 recommend 3 to 20.
    patience : least and most passes after which Newton's method takes over a hinge. Less pays where columns have very
    unequal scales; more where a Hessian is dear. Between the two it grows with the flops of a Newton step.
    newton_weights, newton_values, newton_flops : the largest c d, n max(c, d) and flops of a Hessian that Newton's
    method takes on; 1500 weights are a Hessian of 18 MB and a factor of 1 Gflop. More pays for tolerances below 1e-6; a
    newton_weights of 0 leaves everything to L-BFGS.
    newton_first : flops of all its steps, a millionth of a second counted as 20,000, up to which Newton's method takes
    a softmax from the start. Less pays where operators are fast beside products; 0 begins with L-BFGS always.
    interior_first : the same for a hinge and the interior point method, 2,000 for each margin of a step beside them.
    rows_per_feature, fewest_rows : the sample whose second moment preconditions: rows_per_feature r rows for r
    eigenvectors, fewest_rows at least. More saves passes, and each takes 2 d^2 flops; 6 was fastest on CIFAR-10.
    double_up_to : columns up to which the spectrum is computed in float64; above, in the features' precision.
    eigh_freely, eigh_up_to, eigh_passes : columns up to which all eigenvectors are computed, whatever they cost, and
    up to which they are where second moment and eigenvectors take no more flops than so many passes of one strength:
    21 d^3, half a minute on 2 cores at 6,400. On dictionaries of patches they save 70 such passes in seven strengths
    from 1e-4, 205 in nine from 1e-5, and their flops are 1.7 times as fast as those of passes.
    nystroem_rank : eigenvectors elsewhere, the leading ones; twice as many save no passes there.
    columns_per_row : columns for one row from which the path is solved in the space of the rows, 2 n^2 d flops once.
    chunk_rows : rows of a step of a pass, of the objective that is made of a `Dataset` or `Features`. Fewer take less
    memory; more leave the cache. An `Objective` has its own.

    >>> Tuning(memory=5).memory, Tuning().nystroem_rank
    (5, 1000)
    """

    batch_rows: int = 100
    batch_bytes: int = 512 * 2**20
    memory: int = 10
    patience: tuple[int, int] = (20, 150)
    newton_weights: int = 1500
    newton_values: int = 4_000_000
    newton_flops: int = 500_000_000
    newton_first: int = 400_000_000
    interior_first: int = 10_000_000_000
    rows_per_feature: int = 6
    fewest_rows: int = 10_000
    double_up_to: int = 1024
    eigh_freely: int = 4_000
    eigh_up_to: int = 8_000
    eigh_passes: int = 200
    nystroem_rank: int = 1_000
    columns_per_row: int = 2
    chunk_rows: int = CHUNK_ROWS

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "patience":
                check_count(field.name, getattr(self, field.name), 0 if field.name in MAY_BE_NONE else 1, LARGEST)
        if not 0 < self.patience[0] <= self.patience[1]:
            raise InputError(f"patience must be two numbers of passes, 0 < least <= most; got {self.patience}.")

    def spectrum_size(self, n_features: int, n_samples: int, n_classes: int) -> tuple[int, int]:
        """Eigenvectors to compute for so many columns, and rows to sample for them.

        n_samples : as many dense rows as take the time of those that there are.
        """
        rows = max(self.fewest_rows, self.rows_per_feature * n_features)
        flops = 2.0 * min(rows, n_samples) * n_features**2 + 9.0 * n_features**3
        affordable = flops <= self.eigh_passes * 4.0 * n_samples * n_classes * n_features
        if n_features <= self.eigh_freely or (n_features <= self.eigh_up_to and affordable):
            return n_features, rows
        return self.nystroem_rank, max(self.fewest_rows, self.rows_per_feature * self.nystroem_rank)


LARGEST = 2**62
MAY_BE_NONE = ("newton_weights", "newton_first", "interior_first", "double_up_to", "eigh_freely", "eigh_up_to")
USUAL = Tuning()
