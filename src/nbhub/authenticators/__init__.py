"""Who is asking: one file per source of identities.

An authenticator says who somebody is; what they may do is decided by scopes. May use the store (names and passwords
may be kept there), never the web.
"""
