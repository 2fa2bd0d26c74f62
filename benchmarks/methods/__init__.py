"""Ways to solve the problems: this package's, the course's, and those of other packages."""
