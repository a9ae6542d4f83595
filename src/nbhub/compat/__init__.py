"""Existing files: what JupyterHub's names, imports and classes mean here.

`verdicts` says what becomes of each setting, `imports` lets a file's imports find what is in `modules`, `translate`
turns values that nbhub keeps elsewhere. Only read when a file needs it.
"""
