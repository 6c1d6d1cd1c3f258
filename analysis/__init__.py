"""From a folder of results to tables and figures. Reads Parquet through `tsd.store`; needs neither torch nor ray.

`load` is imported when it is asked for, so that `python -m analysis` can say which package is missing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.data.load import load
else:

    def __getattr__(name: str) -> object:
        if name != "load":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from analysis.data.load import load

        return load


__all__ = ["load"]
