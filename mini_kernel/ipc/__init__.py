"""System V IPC and POSIX message queues: what processes share by a key or a name, and not through memory they map.

table     IpcObject, IpcTable: ids, keys, owners and modes, as all three kinds of System V have them
shm       shared memory segments, and what attaches them
sem       semaphore sets
msg       message queues
mqueue    POSIX message queues: files that messages with a priority go through
"""
