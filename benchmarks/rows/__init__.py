"""One module per group of rows.

`measure(kind, scale)` gives the numbers of one system, `rows(ours, theirs)` the lines of the table.
`scale` shrinks counts for a quick look; 1 is what the table speaks of.
"""
