"""From a results folder to rows and cells: everything that reads."""
