"""From a folder of results to tables and figures. Reads Parquet through `tsd.store`; needs neither torch nor ray."""

from analysis.data.load import load

__all__ = ["load"]
