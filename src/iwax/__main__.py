"""`python -m iwax`: the command line."""

try:
    from iwax.cli import main
except KeyboardInterrupt:  # before `main` can answer it
    import sys

    print("iwax: interrupted.", file=sys.stderr)
    sys.exit(130)

if __name__ == "__main__":
    main()
