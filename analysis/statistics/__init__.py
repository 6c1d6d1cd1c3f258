"""From cells to numbers: means, intervals, comparisons, laws. Nothing here draws."""
