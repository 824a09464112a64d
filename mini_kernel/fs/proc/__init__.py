"""/proc: processes and the system as files (proc(5), Linux fs/proc).

    root       the tree: /proc itself, the files about the system, /proc/sys
    pid        /proc/PID and its links, fd/ and task/
    status     status, stat, statm, comm
    strings    cmdline, environ
    maps       maps, smaps, smaps_rollup
    usage      what smaps counts: pages by walking the tables
    pagemap    pagemap and clear_refs
    odf        use_odf, the switch of on-demand fork
    facts      what the files about the system say
    node       what they all are made of
    views      what /proc asks of the kernel, its processes and tasks

Nodes about a process are made when somebody looks and thrown away afterwards: nothing is kept but what open files and
working directories hold. Reading anything here changes no page table (F95).
"""

from mini_kernel.fs.proc.root import build as build
from mini_kernel.fs.proc.views import System as System
