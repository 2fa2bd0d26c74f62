"""What a release has to pass, on the machine of whoever makes it: `make release-check`."""
