"""nbhub: a notebook server for every authenticated user, behind one address.

The rooms and the one direction in which they may import each other are drawn in docs/developer.md.
"""

__version__ = "0.1.0"

# What API clients and single-user servers are told. Some parse it as a PEP 440 version at start-up, and compare it
# with the JupyterHub release whose protocol they speak, so our own version must not stand here.
PROTOCOL_VERSION = "6.1.1"
