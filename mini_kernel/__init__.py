"""A small kernel in Python that owns real x86-64 page tables. See README.md in this folder."""
