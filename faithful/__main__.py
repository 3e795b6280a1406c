"""The `faithful` command, and `python -m faithful`."""

from faithful.base.terminal import run


def main() -> None:
    """Entry point: the terminal first, then everything else."""

    def start() -> None:
        from faithful.cli import app

        app()

    run(start)


if __name__ == "__main__":
    main()
