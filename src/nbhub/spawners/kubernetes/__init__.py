"""Servers as pods: builders of objects are pure, one file each; what talks to the API server stands apart from them."""
