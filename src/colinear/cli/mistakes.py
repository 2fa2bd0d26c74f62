"""What is said of an error that is for the user to know. Needs no torch."""

from __future__ import annotations

import errno

# what torch says of memory, on the processor and on a GPU
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "Storage size calculation overflowed")


def explain(error: BaseException) -> str | None:
    """The message for a mistake, or for a machine that cannot do what was asked; None for a defect of ours."""
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return f"the disk is full ({error.filename or 'standard output'}). Free some space and run again."
        reason = error.strerror or str(error) or type(error).__name__
        where = error.filename or "a file, or the terminal's stream,"
        return f"{where} cannot be used: {reason}. Check that it is there, and who may read and write it."
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    ):
        return (
            "this does not fit into memory. Use fewer rows, fewer --candidates, --steps or --regs, or a smaller "
            "--batch-size."
        )
    if isinstance(error, ValueError):
        from colinear.checks import InputError

        return str(error) if isinstance(error, InputError) else None
    return None
