"""Examining a deployment: each part that a hub needs, how it is, and the remedy.

Looks and tries, and leaves nothing behind. What the place of the servers needs is the spawner's to say (`examine`).
"""
