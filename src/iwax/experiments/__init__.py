"""Studies: one file each, with its runs, its table and its figures."""
