"""Files for running nbhub elsewhere, written for an operator who owns them afterwards.

Knows what the files need, nothing of a hub in operation, and reaches no cluster.
"""
