"""The API, one file per resource: JupyterHub's addresses and shapes.

Handlers declare who may call them; `endpoints` turns declarations into a table, `dispatch` is the only way in.
"""
