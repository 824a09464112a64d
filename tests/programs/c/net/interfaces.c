/* Do the C library's questions about network devices get answers: getifaddrs, if_nametoindex, ioctl? */
#include "net.h"
#include <ifaddrs.h>
#include <net/if.h>

int main(void)
{
    struct ifaddrs *list = 0;
    char text[64], name[IF_NAMESIZE];
    try(getifaddrs(&list));
    for (struct ifaddrs *a = list; a; a = a->ifa_next)
        if (!strcmp(a->ifa_name, "lo") && a->ifa_addr && a->ifa_addr->sa_family == AF_INET)
            say("lo %s up %d loopback %d\n",
                inet_ntop(AF_INET, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, text, sizeof text),
                !!(a->ifa_flags & IFF_UP), !!(a->ifa_flags & IFF_LOOPBACK));
        else if (!strcmp(a->ifa_name, "lo") && a->ifa_addr && a->ifa_addr->sa_family == AF_INET6)
            say("lo %s\n", inet_ntop(AF_INET6, &((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr, text, sizeof text));
    say("index %u name %s\n", if_nametoindex("lo"), if_indextoname(1, name));
    say("nothing %u\n", if_nametoindex("nothing0"));
    struct ifreq request = {0};
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    strcpy(request.ifr_name, "lo");
    try(ioctl(s, SIOCGIFMTU, &request));
    say("mtu %d\n", request.ifr_mtu);
    try(ioctl(s, SIOCGIFADDR, &request));
    say("address %s\n", inet_ntoa(((struct sockaddr_in *)&request.ifr_addr)->sin_addr));
    strcpy(request.ifr_name, "none9");
    try(ioctl(s, SIOCGIFFLAGS, &request));
    try(ioctl(s, 0x5401, &request));
    try(socket(AF_NETLINK, SOCK_RAW, 99));
    try(socket(AF_NETLINK, SOCK_STREAM, 0));
    return 0;
}
