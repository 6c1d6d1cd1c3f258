"""Fetch a data set ahead of time, on a machine with network: `python -m tsd.data fetch NAME`."""

import sys

from cyclopts import App

from tsd.data import load
from tsd.errors import UserError

app = App(name="python -m tsd.data", help="Data sets of tsd.")


@app.command
def fetch(name: str) -> None:
    """Find, unpack or download a data set and say what it holds.

    Args:
        name: a data set, such as fashion_mnist, or the path of an .npz file.
    """
    images = load(name)
    shape = " × ".join(map(str, images.input_shape))
    print(f"{name}: {len(images.y_train)} + {len(images.y_test)} samples of {shape}, {images.classes} classes.")


def main() -> int:
    """Run the command line; a user's mistake is one paragraph and exit code 2."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
