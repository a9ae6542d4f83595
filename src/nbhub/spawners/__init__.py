"""How to run a server: one file per backend.

No backend knows another, and none knows the store, the web or the proxy: a spawner gets a Launch or a Handle and
answers with Checkpoints and Observations.
"""
