/*
 * network: a private network for one world, in network namespaces of its own:
 * one for the harness, and one for each host, joined by a pair of virtual
 * interfaces.
 *
 *     host A: eth0 198.19.0.1 ──┐
 *                               ├── harness: every address of 198.18.0.0/16
 *     host B: eth0 198.19.0.2 ──┘
 *
 * The addresses are the benchmarking ranges of RFC 2544 and RFC 5180; of IPv6,
 * 2001:2:0:1::/64 is the harness's, and 2001:2:0:2::1 host A's.  Hosts have no route
 * to each other: whatever one of them finds in the DNS lies in 198.18.0.0/16
 * (links, name servers), which is the harness's, so that every next hop is
 * foreign to every relay.  Nothing here has a way out of the machine, the
 * harness included: while a network exists, the calling thread is in it.
 *
 * Needs root, or a kernel that lets users make namespaces of their own; then
 * the process stays among them, for there is no way back, and its next
 * networks are made from there.
 */
#ifndef HARNESS_WORLD_NETWORK_H
#define HARNESS_WORLD_NETWORK_H

#include "base/addr.h"
#include "base/err.h"

struct network;

/* NULL with the kernel's reason. */
struct network *network_new(uint32_t host_count, struct err *reterr);
/* Accepts NULL; the thread is back where it was. */
void network_free(struct network *n);

/* For setns: where host i's processes belong.  Owned by the network. */
int network_host_fd(const struct network *n, uint32_t host);

/* The host's own address. */
struct addr network_host_addr(uint32_t host, uint16_t port);
/* One of the harness's addresses, 0 ≤ n < 65024; it need not be set up. */
struct addr network_own_addr(uint32_t n, uint16_t port);
/* The same of IPv6; false: there is none here. */
bool network_own_addr_ipv6(const struct network *n, uint32_t index, uint16_t port, struct addr *ret_addr);

/* Whether one could be made here, tried in a process of its own; *reterr says why not. */
bool network_is_possible(struct err *reterr);

#endif
