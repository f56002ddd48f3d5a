/* probe_net.h - the network's part of probe.c: IPv4, without a resolver. */
#ifndef VSOCKFS_AGENT_PROBE_NET_H
#define VSOCKFS_AGENT_PROBE_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* HOST[:PORT]; a DEFAULT_PORT of 0 says that PORT must be there.  0 or -EINVAL. */
int probe_net_address(const char *text, size_t len, uint16_t default_port,
		      struct sockaddr_in *address);

/* Whether a connection comes about, within two seconds or by DEADLINE. */
bool probe_net_tcp(const struct sockaddr_in *address, int64_t deadline);

/* Whether GET TARGET is answered by 2xx or 3xx, within five seconds or by DEADLINE. */
bool probe_net_http(const struct sockaddr_in *address, const char *host, const char *target,
		    int64_t deadline);

#endif
