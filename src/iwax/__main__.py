"""`python -m iwax`: the command line."""

from iwax.cli import main

if __name__ == "__main__":
    main()
