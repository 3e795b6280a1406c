"""`python -m faithful`."""

from faithful.cli import main

if __name__ == "__main__":
    main()
