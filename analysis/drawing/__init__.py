"""From numbers to marks on axes: scales, colours, ticks, panels, in one look."""
