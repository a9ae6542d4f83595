"""What a configuration file finds under the names of JupyterHub's modules and those of its extensions.

Only imported when a file asks for it (see `nbhub.compat.imports`).
"""
