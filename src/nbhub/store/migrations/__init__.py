"""The history of the tables, one file for each step in `versions`; run by `nbhub.store.migrate`.

A new step: change `tables.py`, write `versions/rNNNN_what.py` with `down_revision` set to the last one, raise
`schema.HEAD`. A test compares what the steps make with `tables.py`.
"""
