"""What is true: records and rules.

Pure: no await, no input or output, no framework, no clock and no randomness of its own. Imports nothing from the
other rooms, and of third parties only msgspec and cryptography.
"""
