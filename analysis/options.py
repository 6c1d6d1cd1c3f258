"""The options that several verbs share, with their help. Imports nothing heavy, so that `--help` answers at once."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Where = Annotated[
    str | None, Parameter(help="SQL condition on the trials, such as \"layer = 'spectral' and lr < 1e-2\".")
]
Output = Annotated[
    list[Path], Parameter(name=["--output", "-o"], negative=(), help="File to write; give it again for more.")
]
MaybeOutput = Annotated[
    list[Path] | None,
    Parameter(name=["--output", "-o"], negative=(), help="File to write; again for more. Without one, print."),
]
Width = Annotated[Literal["one", "two"] | None, Parameter(help="Columns of the paper that the figure spans.")]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Theory = Annotated[
    list[str] | None,
    Parameter(
        negative=(),
        help="Metric that predicts the value, drawn as a line; again for more. Rows of kind theory come first.",
    ),
]
Lines = Annotated[
    list[str] | None,
    Parameter(negative=(), help="Column that predicts y, drawn as a line over x; again for more."),
]
