"""Solutions of the notebook's 'your turn': a function here takes the place of the one of its name there.

`make notebook ARGS='--solutions --out FILE'` puts them in; `make notebook` runs with them, and stores without.
"""

import torch


def my_hinge_loss(W, X, y, reg):
    """Loss and gradient dW of the multiclass SVM: W (D, C), X (n, D), y (n,)."""
    rows = torch.arange(len(X))
    scores = X @ W  # (n, C)
    margins = (scores - scores[rows, y].unsqueeze(1) + 1).clamp(min=0)
    margins[rows, y] = 0
    slopes = (margins > 0).to(X.dtype)  # d loss_i / d s_ij
    slopes[rows, y] = -slopes.sum(dim=1)
    loss = margins.sum() / len(X) + reg * (W * W).sum()
    return loss, X.T @ slopes / len(X) + 2 * reg * W


def my_train(loss_function, W, X, y, learning_rate, reg, num_iters, batch_size):
    """W after num_iters steps of stochastic gradient descent, and the list of their losses."""
    losses = []
    for _ in range(num_iters):
        rows = torch.randint(len(X), (batch_size,))
        loss, dW = loss_function(W, X[rows], y[rows], reg)
        W = W - learning_rate * dW
        losses.append(loss.item())
    return W, losses


def my_softmax_loss(W, X, y, reg):
    """Loss and gradient dW of the softmax: W (D, C), X (n, D), y (n,)."""
    rows = torch.arange(len(X))
    scores = X @ W
    scores = scores - scores.max(dim=1, keepdim=True).values
    logs = scores - scores.exp().sum(dim=1, keepdim=True).log()  # log p_ij
    slopes = logs.exp()
    slopes[rows, y] -= 1
    loss = -logs[rows, y].mean() + reg * (W * W).sum()
    return loss, X.T @ slopes / len(X) + 2 * reg * W


def my_gap(dW, reg):
    """How far, at most, the softmax objective with gradient dW is above its optimum."""
    return (dW * dW).sum() / (4 * reg)
