"""`python -m colinear.cli` is `colinear`."""

from colinear.cli.app import main

if __name__ == "__main__":
    main()
