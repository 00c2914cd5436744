/*
 * conform_world: the server under test and what is around it: its world, its
 * mailboxes, and what a case needs to know of it.
 *
 * In the world are the server, sut.example, and two domains of others,
 * probe.example, whose next hop takes everything, and elsewhere.example, whose
 * next hop nobody reaches.  A target that can be
 * told its ports runs on loopback, others in a private network, which the
 * harness is part of (world/network.h); a server elsewhere is reached by what
 * its target file says.  Every name and password dies with it.
 */
#ifndef HARNESS_CLI_CONFORM_WORLD_H
#define HARNESS_CLI_CONFORM_WORLD_H

#include "base/err.h"
#include "base/loop.h"
#include "harness/conform/sut.h"
#include "harness/world/world.h"

struct conform_world;

struct conform_world_options {
	struct loop *loop;
	const char *target;  /* a name or a path; outlives the world */
	const char *program; /* postriderd; NULL: the target's default */
	const char *dir;     /* exists; world/ is made in it */
	enum world_network network;
	bool patient; /* it waits for replies of next hops as long as it does when nobody tells it */
	uint32_t
		account_count; /* mailboxes that are wanted; a server elsewhere has those of its password file */
	uint32_t known_count; /* domains of cases that its aliases are to lead to (conform/sut.h) */
	world_fn *on_event;
	void *ctx;
};

/* Nothing runs yet.  NULL with the reason. */
struct conform_world *conform_world_new(const struct conform_world_options *o, struct err *reterr);
/* WORLD_READY or WORLD_BROKEN follows, also for a server elsewhere. */
int conform_world_start(struct conform_world *w, struct err *reterr);
struct world *conform_world_inside(const struct conform_world *w);
/* The server that runs; NULL for one elsewhere. */
struct host *conform_world_host(const struct conform_world *w);
/* What it offers is still to be found out (conform/probe.h). */
struct sut *conform_world_sut(struct conform_world *w);
/* Ends what runs, and leaves its logs, without passwords, in dir/logs; the rest goes unless it is to be kept. */
void conform_world_end(struct conform_world *w, bool keep);
void conform_world_free(struct conform_world *w); /* accepts NULL */

enum { CONFORM_SUT = 0 }; /* its index among the hosts */

#endif
