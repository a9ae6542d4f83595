"""The front desk: the only room that knows HTTP.

Turns requests into questions to the store and records into answers. Never calls the reconciler or the proxy: it writes
what is wanted, rings, and waits on the doorbell.
"""
