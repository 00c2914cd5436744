#include "harness/world/network.h"

#include "base/buf.h"
#include "base/file.h"
#include "harness/scenario/flow.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	OWN_ADDRESSES_MAX = 65024,
	REASON_BYTES = 400,
};

struct network {
	int before; /* where the thread was; -1: there is no way back */
	int own;
	int hosts[FLOW_HOSTS_MAX];
	uint32_t host_count;
	bool ipv6;
};

/* ---- addresses ---- */

static struct addr make_addr(unsigned second, uint32_t n, uint16_t port)
{
	char text[24];
	struct addr at;

	(void)snprintf(text, sizeof(text), "198.%u.%u.%u", second, n / 256, n % 256);
	if (!addr_parse(text, port, &at))
		abort();
	return at;
}

struct addr network_host_addr(uint32_t host, uint16_t port)
{
	return make_addr(19, host + 1, port);
}

struct addr network_own_addr(uint32_t n, uint16_t port)
{
	assert(n < OWN_ADDRESSES_MAX);
	return make_addr(18, n, port);
}

bool network_own_addr_ipv6(const struct network *n, uint32_t index, uint16_t port, struct addr *ret_addr)
{
	char text[40];

	assert(index < OWN_ADDRESSES_MAX);
	/* 0 is the anycast address of the routers (RFC 4291 2.6.1). */
	(void)snprintf(text, sizeof(text), "2001:2:0:1::%x", index + 1);
	return n->ipv6 && addr_parse(text, port, ret_addr);
}

/* ---- the program ip ---- */

/* In the namespace ns; commands is a batch for ip(8). */
static int run_ip(int ns, struct buf *commands, struct err *reterr)
{
	int in = memfd_create("ip", 0);
	int out = memfd_create("ip-said", 0);
	char said[REASON_BYTES] = "";
	int status = -1;

	if (in < 0 || out < 0)
		return err_errno(reterr, errno, "memfd_create");
	(void)!write(in, buf_cstr(commands), buf_bytes(commands));
	(void)lseek(in, 0, SEEK_SET);
	pid_t pid = fork();
	if (pid == 0) {
		if (setns(ns, CLONE_NEWNET) != 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
			_exit(126);
		(void)execlp("ip", "ip", "-batch", "-", (char *)NULL);
		(void)execl("/sbin/ip", "ip", "-batch", "-", (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ssize_t n = pread(out, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	(void)close(in);
	(void)close(out);
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_set(reterr, -ENOENT, "the program ip is not here; it is in package iproute2");
	return err_set(reterr, -EPERM, "ip could not set up the network: %s", said);
}

static int set_up_own(const struct network *n, struct err *reterr)
{
	struct buf b = { 0 };
	char ip[56];
	struct addr source = network_own_addr(OWN_ADDRESSES_MAX - 1, 0);

	(void)addr_format_ip(&source, ip);
	buf_addf(&b, "link set lo up\naddr add %s/32 dev lo\nroute add local 198.18.0.0/16 dev lo\n", ip);
	for (uint32_t i = 0; i < n->host_count; i++) {
		char host[56];
		struct addr at = network_host_addr(i, 0);
		(void)addr_format_ip(&at, host);
		buf_addf(&b, "link add h%u type veth peer name eth0 netns /proc/self/fd/%d\n", i,
			 n->hosts[i]);
		buf_addf(&b, "link set h%u up\nroute add %s/32 dev h%u src %s\n", i, host, i, ip);
	}
	int rc = run_ip(n->own, &b, reterr);
	buf_free(&b);
	return rc;
}

static int set_up_host(const struct network *n, uint32_t i, struct err *reterr)
{
	struct buf b = { 0 };
	char ip[56];
	struct addr at = network_host_addr(i, 0);

	buf_addf(&b, "link set lo up\naddr add %s/32 dev eth0\nlink set eth0 up\n", addr_format_ip(&at, ip));
	/* The harness answers for all of 198.18.0.0/16; other hosts cannot be reached past it.  By one of its addresses,
	 * or each of hundreds would want a place in the kernel's table of neighbours, which all namespaces share. */
	buf_addf(&b, "route add 198.18.0.0/16 via 198.18.0.1 dev eth0 onlink src %s\n", ip);
	int rc = run_ip(n->hosts[i], &b, reterr);
	buf_free(&b);
	return rc;
}

/*
 * IPv6 as far as the kernel has it; a network without is a network, too.  All
 * of its /64 is local to the harness; for hosts the way there is its end of
 * their pair, which answers neighbour solicitations for that address alone.
 */
static void set_up_ipv6(struct network *n)
{
	struct buf own = { 0 };
	struct err ignored;
	/* So that a server can be bound to an address that is local without having been added. */
	int fd = open("/proc/sys/net/ipv6/ip_nonlocal_bind", O_WRONLY | O_CLOEXEC);
	bool fine = fd >= 0 && write(fd, "1", 1) == 1;

	if (fd >= 0)
		(void)close(fd);
	buf_add_cstr(&own, "route add local 2001:2:0:1::/64 dev lo\n");
	for (uint32_t i = 0; i < n->host_count; i++)
		buf_addf(&own, "addr add fe80::1/64 dev h%u nodad\nroute add 2001:2:0:2::%x/128 dev h%u\n", i,
			 i + 1, i);
	fine = fine && run_ip(n->own, &own, &ignored) == 0;
	for (uint32_t i = 0; i < n->host_count && fine; i++) {
		struct buf host = { 0 };
		buf_addf(&host,
			 "addr add 2001:2:0:2::%x/128 dev eth0 nodad\naddr add fe80::2/64 dev eth0 nodad\n"
			 "route add 2001:2:0:1::/64 via fe80::1 dev eth0 src 2001:2:0:2::%x\n",
			 i + 1, i + 1);
		fine = run_ip(n->hosts[i], &host, &ignored) == 0;
		buf_free(&host);
	}
	n->ipv6 = fine;
	buf_free(&own);
}

/* ---- namespaces ---- */

static int write_map(const char *path, const char *text, struct err *reterr)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
	int rc = n < 0 ? err_errno(reterr, errno, "%s", path) : 0;

	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* As root of a user namespace of our own; there is no way back. */
static int enter_user_namespace(struct err *reterr)
{
	char text[64];
	unsigned uid = (unsigned)geteuid(), gid = (unsigned)getegid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return err_errno(reterr, errno, "not root, and the kernel refuses a user namespace");
	(void)snprintf(text, sizeof(text), "0 %u 1", uid);
	int rc = write_map("/proc/self/uid_map", text, reterr);
	if (rc == 0)
		rc = write_map("/proc/self/setgroups", "deny", reterr);
	(void)snprintf(text, sizeof(text), "0 %u 1", gid);
	return rc == 0 ? write_map("/proc/self/gid_map", text, reterr) : rc;
}

static int open_own(struct err *reterr)
{
	int fd = open("/proc/thread-self/ns/net",
		      O_RDONLY); /* ip gets it by number, so it is not closed on exec */

	return fd >= 0 ? fd : err_errno(reterr, errno, "/proc/thread-self/ns/net");
}

/* Into a new namespace; returns its descriptor. */
static int make_namespace(struct err *reterr)
{
	if (unshare(CLONE_NEWNET) != 0)
		return err_errno(reterr, errno, "the kernel refuses a network namespace");
	return open_own(reterr);
}

static int make_all(struct network *n, uint32_t host_count, struct err *reterr)
{
	if (geteuid() != 0) {
		int rc = enter_user_namespace(reterr);
		if (rc != 0)
			return rc;
		(void)close(n->before);
		n->before = -1;
	}
	for (uint32_t i = 0; i < host_count; i++) {
		int fd = make_namespace(reterr);
		if (fd < 0)
			return fd;
		n->hosts[n->host_count++] = fd;
	}
	n->own = make_namespace(reterr);
	int rc = n->own < 0 ? n->own : set_up_own(n, reterr);
	for (uint32_t i = 0; i < host_count && rc == 0; i++)
		rc = set_up_host(n, i, reterr);
	if (rc == 0)
		set_up_ipv6(n);
	/* From here on no child but ours, made for it, gets them. */
	for (uint32_t i = 0; i < host_count && rc == 0; i++)
		(void)fcntl(n->hosts[i], F_SETFD, FD_CLOEXEC);
	if (rc == 0)
		(void)fcntl(n->own, F_SETFD, FD_CLOEXEC);
	return rc;
}

struct network *network_new(uint32_t host_count, struct err *reterr)
{
	struct network *n = calloc(1, sizeof(*n));

	assert(host_count <= FLOW_HOSTS_MAX);
	if (n == NULL)
		abort();
	n->own = -1;
	n->before = open_own(reterr);
	if (n->before < 0 || make_all(n, host_count, reterr) != 0) {
		network_free(n);
		return NULL;
	}
	(void)fcntl(n->before, F_SETFD, FD_CLOEXEC);
	return n;
}

void network_free(struct network *n)
{
	if (n == NULL)
		return;
	if (n->before >= 0) {
		(void)setns(n->before, CLONE_NEWNET);
		(void)close(n->before);
	}
	for (uint32_t i = 0; i < n->host_count; i++)
		(void)close(n->hosts[i]);
	if (n->own >= 0)
		(void)close(n->own);
	free(n);
}

int network_host_fd(const struct network *n, uint32_t host)
{
	assert(host < n->host_count);
	return n->hosts[host];
}

bool network_is_possible(struct err *reterr)
{
	int fds[2];
	struct err said = { 0 };

	if (pipe2(fds, O_CLOEXEC) != 0) {
		(void)err_errno(reterr, errno, "pipe");
		return false;
	}
	pid_t pid = fork();
	if (pid == 0) {
		struct network *n = network_new(1, &said);
		if (n == NULL)
			(void)!write(fds[1], &said, sizeof(said));
		_exit(n != NULL ? 0 : 1);
	}
	(void)close(fds[1]);
	int status = -1;
	ssize_t got = read(fds[0], &said, sizeof(said));
	(void)close(fds[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status == 0)
		return true;
	if (got == (ssize_t)sizeof(said))
		*reterr = said;
	else
		(void)err_set(reterr, -EPERM, "a private network could not be tried");
	return false;
}
