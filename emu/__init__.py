"""The laboratory around the kernel: machine, assembler, boot, views and command line."""
