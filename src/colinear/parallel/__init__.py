"""Several processes as one: the only room that knows torch.distributed and reads what a launcher says."""
