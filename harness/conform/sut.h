/*
 * sut: what a case needs to know of the server under test: where each service
 * is, which extensions it offers, and whose mailboxes there are.
 *
 * Plain data; whoever makes the server (world, or a remote address) fills it
 * in.  What a server offers is what it said itself: in its EHLO or CAPA, in
 * the clear and under TLS.
 */
#ifndef HARNESS_CONFORM_SUT_H
#define HARNESS_CONFORM_SUT_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/tls.h"
#include "harness/scenario/case.h"
#include "harness/scenario/target.h"
#include "harness/world/world.h"

typedef void sut_queue_fn(void *ctx, bool known, uint32_t count);

enum sut_deed { SUT_STOP, SUT_KILL, SUT_START };
typedef void sut_deed_fn(void *ctx, bool done, const char *why_not);

/* Whose mail is meant by a question about the queue. */
struct sut_whose {
	const char *domain; /* its recipients; NULL: everybody's but that of next hops (SUT_NEXT_DOMAIN) */
	const char *const *addresses; /* with domain: notifications to them, and what they sent, count, too */
	uint32_t address_count;
};

/* Below it are the domains that cases have next hops for. */
#define SUT_NEXT_DOMAIN "next.example"
enum { SUT_ZONE_BYTES = 80, SUT_ALIAS_BYTES = 160 };
#define SUT_FENCE_DOMAIN "fence.example"

struct sut_service {
	bool there;
	/* Served by programs that are not the target's own: used, not judged.  NULL: its own. */
	const char *borrowed_from;
	struct addr at;
	struct buf keywords; /* one line each, in the clear and under TLS: "AUTH PLAIN LOGIN" */
};

struct sut {
	struct sut_service services[CASE_SERVICE_COUNT];
	const char *host;   /* its own name, as in its certificate */
	const char *domain; /* local */
	struct tls_ctx *tls;
	struct tls_ctx *tls_1_2; /* the same for who knows nothing newer */
	bool allow_remote;
	/* Somebody else's: nothing intrusive, and mail to these domains only (leave.h). */
	bool is_elsewhere;
	const char *const *mail_domains;
	uint32_t mail_domain_count;
	/* IPv4 addresses in host order from which a case may connect as its own; none: count 0. */
	uint32_t client_first, client_count;
	/* Mailboxes: address and password by index. */
	const char *const *addresses;
	const char *const *passwords;
	uint32_t account_count;
	/* Addresses that stand for two mailboxes each: [i] for [2i] and [2i + 1].  NULL: there are none. */
	const char *const *lists;
	uint32_t known_count; /* domains of cases that it was told of, see below */
	/*
	 * Asks how many messages wait in its queue; answer is called once, from
	 * the loop; whose is copied.  NULL: it cannot be asked.
	 */
	void (*ask_queue)(void *queue_ctx, const struct sut_whose *whose, sut_queue_fn *answer, void *ctx);
	void *queue_ctx;
	/*
	 * Stops the server (SIGTERM), kills it, or starts it again once it has
	 * ended.  Of a start, done is told once, from the loop; else it is NULL.
	 * NULL: it cannot be done here.
	 */
	void (*control)(void *control_ctx, enum sut_deed deed, sut_deed_fn *done, void *ctx);
	void *control_ctx;
	struct world *world;          /* where next hops can be played; NULL: nowhere */
	const char *const *abilities; /* that cases may need: "tls-require", "ipv6", ... */
	uint32_t ability_count;
	struct target_relay relay; /* the schedule it was given for them; with world */
	struct addr trusted; /* from there its smtp service takes mail for anywhere; n == 0: from nowhere */
};

/* "PIPELINING", or "AUTH=PLAIN": the keyword with such a parameter. */
bool sut_offers(const struct sut *s, enum case_service service, const char *keyword);

/*
 * By which service mail of the case goes to the server, and its keywords are asked for: its own, unless a
 * relay's submission is another program's.  What that would do to the mail is not what is judged, so the
 * mail comes from the trusted address then.
 */
enum case_service sut_service_of(const struct sut *s, const struct case_file *c);

/* NULL when the server offers all that the case needs; else what it lacks, in *ret_text. */
const char *sut_lacks(const struct sut *s, const struct case_file *c, char *ret_text, size_t text_bytes);

/* How long this step of the case may take, by what it says itself or by the relay's schedule. */
int64_t sut_limit_ms(const struct sut *s, const struct case_file *c, const struct case_step *step);

/* How many mailboxes the case uses. */
uint32_t sut_accounts_of(const struct case_file *c);

/*
 * The domains of some cases a server is told of before it starts, for its aliases lead there, or it speaks LMTP to
 * them.  They are numbered, k0.next.example, k1.lmtp.next.example, and each is played in once.
 */
bool sut_knows_zone_of(const struct case_file *c);
/* Policy: as in struct case_file. */
void sut_known_zone(uint32_t number, const char *policy, char ret_zone[static SUT_ZONE_BYTES]);
/* The alias of the server that stands for joe@ZONE, or with two for ann@b.ZONE, too. */
void sut_alias(const char *zone, bool of_two, const char *domain, char ret_address[static SUT_ALIAS_BYTES]);

void sut_free(struct sut *s); /* the keywords; the rest is borrowed */

#endif
