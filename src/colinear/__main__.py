"""`python -m colinear` is `colinear`, also for a launcher: torchrun -m colinear."""

from colinear.cli.app import main

if __name__ == "__main__":
    main()
