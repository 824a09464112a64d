"""Sockets. Everything ends inside the machine: no socket of the host is ever opened.

    network     Network: names, ports, sockets of a system
    address     struct sockaddr_un, sockaddr_in, sockaddr_in6
    message     what travels between sockets, and what a call sends or receives
    socket      Socket: an open file that data is sent and received through
    options     getsockopt(2), setsockopt(2)
    unix        AF_UNIX: names, connections; unix_stream, unix_packet: their data
    rights      descriptors on their way, and cycles of sockets that nobody can reach
    inet        AF_INET and AF_INET6: addresses and ports of a machine that has nothing but a loopback device
    tcp, udp    their protocols
    netlink     what C libraries ask about network devices
    family      socket(2), socketpair(2)
    listing     /proc/net

A segment or datagram arrives in the call that sends it: there is no wire, so nothing is lost, reordered or sent again.
"""
