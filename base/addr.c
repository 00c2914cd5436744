#include "base/addr.h"

#include "base/span.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Copies instead of casts: sockaddr_storage may be read as any of its kinds only through memcpy. */
static struct sockaddr_in as_v4(const struct addr *a)
{
	struct sockaddr_in v4;
	memcpy(&v4, &a->ss, sizeof(v4));
	return v4;
}

static struct sockaddr_in6 as_v6(const struct addr *a)
{
	struct sockaddr_in6 v6;
	memcpy(&v6, &a->ss, sizeof(v6));
	return v6;
}

bool addr_parse(const char *ip, uint16_t port, struct addr *ret_addr)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct addr a = { .n = 0 };

	if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1) {
		memcpy(&a.ss, &v4, sizeof(v4));
		a.n = sizeof(v4);
	} else if (inet_pton(AF_INET6, ip, &v6.sin6_addr) == 1) {
		memcpy(&a.ss, &v6, sizeof(v6));
		a.n = sizeof(v6);
	} else {
		return false;
	}
	*ret_addr = a;
	return true;
}

bool addr_parse_port(const char *text, struct addr *ret_addr)
{
	struct span s = span_of(text);
	struct span host = SPAN_LIT("127.0.0.1");
	char ip[56];
	uint64_t port;
	const char *colon = strrchr(text, ':');

	if (colon != NULL) {
		host = (struct span){ text, (size_t)(colon - text) };
		s = span_of(colon + 1);
		if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
			host = span_sub(host, 1, host.n - 2);
	}
	if (!span_to_u64(s, &port) || port > UINT16_MAX || !span_copy(host, ip, sizeof(ip)))
		return false;
	return addr_parse(ip, (uint16_t)port, ret_addr);
}

const char *addr_format_ip(const struct addr *a, char out[static 56])
{
	struct sockaddr_in v4 = as_v4(a);
	struct sockaddr_in6 v6 = as_v6(a);
	const void *bytes =
		a->ss.ss_family == AF_INET6 ? (const void *)&v6.sin6_addr : (const void *)&v4.sin_addr;

	if (a->n == 0 || inet_ntop(a->ss.ss_family, bytes, out, 56) == NULL)
		(void)snprintf(out, 56, "?");
	return out;
}

const char *addr_format(const struct addr *a, char out[static 56])
{
	char ip[56];
	bool v6 = a->ss.ss_family == AF_INET6;

	(void)addr_format_ip(a, ip);
	(void)snprintf(out, 56, "%s%.46s%s:%u", v6 ? "[" : "", ip, v6 ? "]" : "", (unsigned)addr_port(a));
	return out;
}

uint16_t addr_port(const struct addr *a)
{
	return a->ss.ss_family == AF_INET6 ? ntohs(as_v6(a).sin6_port) : ntohs(as_v4(a).sin_port);
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->ss.ss_family == AF_INET6) {
		struct sockaddr_in6 v6 = as_v6(a);
		v6.sin6_port = htons(port);
		memcpy(&a->ss, &v6, sizeof(v6));
	} else {
		struct sockaddr_in v4 = as_v4(a);
		v4.sin_port = htons(port);
		memcpy(&a->ss, &v4, sizeof(v4));
	}
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	if (a->ss.ss_family != b->ss.ss_family || addr_port(a) != addr_port(b))
		return false;
	if (a->ss.ss_family == AF_INET6) {
		struct sockaddr_in6 x = as_v6(a), y = as_v6(b);
		return memcmp(&x.sin6_addr, &y.sin6_addr, sizeof(x.sin6_addr)) == 0;
	}
	return as_v4(a).sin_addr.s_addr == as_v4(b).sin_addr.s_addr;
}

bool addr_is_loopback(const struct addr *a)
{
	if (a->ss.ss_family == AF_INET6) {
		struct sockaddr_in6 v6 = as_v6(a);
		return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
	}
	return a->ss.ss_family == AF_INET && ntohl(as_v4(a).sin_addr.s_addr) >> 24 == 127;
}

struct bits {
	unsigned char bytes[16];
	unsigned count;
};

static struct bits bits_of(const struct addr *a)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct bits b = { .count = 32 };

	if (a->ss.ss_family == AF_INET) {
		struct sockaddr_in v4 = as_v4(a);
		memcpy(b.bytes, &v4.sin_addr, 4);
		return b;
	}
	struct sockaddr_in6 v6 = as_v6(a);
	memcpy(b.bytes, &v6.sin6_addr, 16);
	if (memcmp(b.bytes, mapped, sizeof(mapped)) == 0) {
		memmove(b.bytes, b.bytes + sizeof(mapped), 4);
		return b;
	}
	b.count = 128;
	return b;
}

void addr_host_key(const struct addr *a, unsigned char ret_key[ADDR_HOST_KEY_BYTES])
{
	enum { PREFIX_BYTES = 8, IPV4_BYTES = 4 };

	memset(ret_key, 0, ADDR_HOST_KEY_BYTES);
	if (a->n == 0 || (a->ss.ss_family != AF_INET && a->ss.ss_family != AF_INET6))
		return;
	struct bits b = bits_of(a);
	if (b.count == 32)
		memcpy(ret_key + ADDR_HOST_KEY_BYTES - IPV4_BYTES, b.bytes, IPV4_BYTES);
	else
		memcpy(ret_key, b.bytes, PREFIX_BYTES);
}

static bool bit_at(const struct bits *b, unsigned i)
{
	return (b->bytes[i / 8] >> (7 - i % 8) & 1) != 0;
}

bool addr_block_parse(const char *text, struct addr_block *ret_block)
{
	struct span rest = span_of(text);
	struct span ip;
	char ip_text[56];
	uint64_t bits = UINT64_MAX;

	bool has_bits = span_take_until(&rest, '/', &ip);
	if (!has_bits)
		ip = rest;
	if (!span_copy(ip, ip_text, sizeof(ip_text)) || !addr_parse(ip_text, 0, &ret_block->first) ||
	    (has_bits && !span_to_u64(rest, &bits)))
		return false;
	struct bits first = bits_of(&ret_block->first);
	ret_block->bits = has_bits && bits <= first.count ? (unsigned)bits : first.count;
	for (unsigned i = ret_block->bits; i < first.count; i++)
		if (bit_at(&first, i))
			return false;
	return !has_bits || bits <= first.count;
}

bool addr_block_has(const struct addr_block *b, const struct addr *a)
{
	struct bits first = bits_of(&b->first);
	struct bits other = bits_of(a);

	if (first.count != other.count)
		return false;
	for (unsigned i = 0; i < b->bits; i++)
		if (bit_at(&first, i) != bit_at(&other, i))
			return false;
	return true;
}
