"""What nbhub costs, measured side by side with JupyterHub: `python -m benchmarks`."""
