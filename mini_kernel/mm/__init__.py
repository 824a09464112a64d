"""Memory management: frames, page tables, address spaces, faults, fork, and access to user memory."""
