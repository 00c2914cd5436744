/*
 * addr: an IPv4 or IPv6 address with port.  No names are resolved here.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	struct sockaddr_storage ss;
	socklen_t n;
};

/* "127.0.0.1", "::1"; no names.  False when it is no address. */
bool addr_parse(const char *ip, uint16_t port, struct addr *ret_addr);
/* "127.0.0.1:25", "[::1]:25", and "25" for 127.0.0.1. */
bool addr_parse_port(const char *text, struct addr *ret_addr);
/* The reverse: "127.0.0.1:25", "[::1]:25"; out needs 56 bytes.  Returns out. */
const char *addr_format(const struct addr *a, char out[static 56]);
/* Without port: "127.0.0.1", "::1". */
const char *addr_format_ip(const struct addr *a, char out[static 56]);
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
bool addr_eq(const struct addr *a, const struct addr *b); /* address and port */
bool addr_is_loopback(const struct addr *a);              /* 127.0.0.0/8 or ::1 */

/*
 * Who an address belongs to, for counting: equal for all that one host is
 * likely to have.  An IPv4 address, also written in IPv6 (::ffff:10.0.0.1), is
 * one; of an IPv6 address the first 64 bits count.
 */
enum { ADDR_HOST_KEY_BYTES = 16 };
void addr_host_key(const struct addr *a, unsigned char ret_key[ADDR_HOST_KEY_BYTES]);

/* A block of addresses: the first `bits` bits of `first` say which. */
struct addr_block {
	struct addr first;
	unsigned bits;
};

/* "10.0.0.0/8", "fd00::/8", or one address.  False for anything else, bits behind the prefix included. */
bool addr_block_parse(const char *text, struct addr_block *ret_block);
/* The port does not count.  An IPv4 address written in IPv6 (::ffff:10.0.0.1) is the IPv4 address. */
bool addr_block_has(const struct addr_block *b, const struct addr *a);

#endif
