"""Files: inodes, open file descriptions, descriptor tables, path walks, pipes, devices and the host's directories.

    path      FsContext, permission check, the path walk
    vfs       Vfs: the tree, the standard streams, open
    namei     making, removing and renaming names
    inode     RegularFile, Directory, Symlink
    file      File: an open file description, and those of inode's classes
    fdtable   FdTable: numbers to Files
    locks     advisory locks of fcntl(2) and flock(2)
    notify    inotify(7): watches and telling them; inotify is their open file
    pipe, device, tty, event         files that are not stored anywhere
    stream    what the embedding provides as standard input and output
    superblock what inodes have in common, and what may stand behind one
    hosttree  a host directory, from outside: no step follows a link
    host      one as a tree of the guest, read-only or writable
    proc/     /proc: processes and the system as files

A system call moves data in two steps: the file says how many bytes it can take or give now (or that the caller must
wait), then user memory is faulted in for that many and copied. So nothing is consumed that cannot be delivered.
"""
