"""tsd: large teacher–student sweeps, from one YAML file to typed Parquet."""

__version__ = "0.1.0"
