#include "harness/cli/conform_targets.h"

#include "base/file.h"
#include "base/loop.h"
#include "harness/cli/conform_print.h"
#include "harness/cli/conform_run.h"
#include "harness/scenario/target.h"
#include "harness/world/network.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIR_MODE = 0755 };

struct judged {
	const char *name; /* as it was given */
	struct target *target;
	struct conform_run *run;
	struct suite_result *unplayed; /* when there was no run */
	const struct waiver **waived;
	bool *known;
	struct buf versions;
	struct buf problem; /* why there was no run */
};

struct conform_targets {
	struct judged items[CONFORM_TARGETS_MAX];
	struct conform_record records[CONFORM_TARGETS_MAX];
	uint32_t count;
};

/* ---- which ---- */

static bool name_is_new(const struct conform_targets *t, const struct target *target, const char *name,
			struct buf *messages)
{
	for (uint32_t i = 0; i < t->count; i++) {
		if (strcmp(t->items[i].target->name, target->name) != 0)
			continue;
		buf_addf(messages,
			 "postrider conform: --target %s: there are two targets called \"%s\"; results could "
			 "not "
			 "tell them apart\n",
			 name, target->name);
		return false;
	}
	return true;
}

static bool may_be_reached(const struct target *target, const char *name, bool allow_remote,
			   struct buf *messages)
{
	if (!target->remote.is || allow_remote)
		return true;
	buf_addf(messages,
		 "postrider conform: --target %s: it is a server elsewhere, %s, which is reached with "
		 "--allow-remote only\n",
		 name, target->remote.host);
	return false;
}

static bool add(struct conform_targets *t, const char *name, bool allow_remote, struct buf *messages)
{
	char near[64];

	if (!target_exists(name)) {
		buf_addf(messages, "postrider conform: --target %s: there is no such target", name);
		if (target_nearest(name, near, sizeof(near)))
			buf_addf(messages, "; did you mean \"%s\"?\n", near);
		else
			buf_add_cstr(messages, "; 'postrider targets' names them\n");
		return false;
	}
	if (t->count == CONFORM_TARGETS_MAX) {
		buf_addf(messages, "postrider conform: more than %d targets\n", CONFORM_TARGETS_MAX);
		return false;
	}
	struct target *target = target_load(name, messages);
	if (target == NULL)
		return false;
	if (!name_is_new(t, target, name, messages) ||
	    !may_be_reached(target, name, allow_remote, messages)) {
		target_free(target);
		return false;
	}
	t->items[t->count++] = (struct judged){ .name = name, .target = target };
	return true;
}

struct conform_targets *conform_targets_read(const struct opt_list *names, bool allow_remote,
					     struct buf *messages)
{
	struct conform_targets *t = calloc(1, sizeof(*t));
	bool fine = true;

	if (t == NULL)
		abort();
	for (uint32_t i = 0; i < names->count; i++)
		fine = add(t, names->items[i], allow_remote, messages) && fine;
	if (names->count == 0)
		fine = add(t, "reference", allow_remote, messages);
	if (fine)
		return t;
	conform_targets_free(t);
	return NULL;
}

/* ---- judging ---- */

/* What is known before it is played. */
static void mark(struct judged *j, const struct conform_targets_options *o)
{
	j->waived = calloc(o->cases->count + 1, sizeof(struct waiver *));
	j->known = calloc(o->cases->count + 1, sizeof(*j->known));
	if (j->waived == NULL || j->known == NULL)
		abort();
	for (uint32_t i = 0; i < o->cases->count; i++) {
		const char *id = o->cases->items[i]->id;
		enum conform_verdict v;
		j->waived[i] = waivers_find(o->waivers, j->target->name, id, clock_wall_ms());
		j->known[i] = o->baseline != NULL &&
			      conform_earlier_verdict(o->baseline, j->target->name, id, &v) &&
			      v == CONFORM_FAIL;
	}
}

static void leave_unplayed(struct judged *j, const struct conform_targets_options *o)
{
	j->unplayed = calloc(o->cases->count + 1, sizeof(*j->unplayed));
	if (j->unplayed == NULL)
		abort();
	for (uint32_t i = 0; i < o->cases->count; i++)
		j->unplayed[i].file = o->cases->items[i];
}

/* A machine that lacks a server, or cannot make it a network, proves nothing about it. */
static bool can_be_judged(struct judged *j, enum world_network network)
{
	struct err e;

	if (j->target->remote.is)
		return true;
	if (!target_can_start(j->target, &j->problem))
		return false;
	bool is_private = network == WORLD_NETWORK_PRIVATE || !j->target->on_loopback;
	if (network == WORLD_NETWORK_LOOPBACK && !j->target->on_loopback)
		buf_add_cstr(&j->problem, "it cannot be told its ports and name server, so it needs a "
					  "private network");
	else if (is_private && !network_is_possible(&e))
		buf_addf(&j->problem, "no private network can be made here: %s", e.text);
	return buf_bytes(&j->problem) == 0;
}

static void on_result(void *ctx, const struct suite_result *r)
{
	conform_progress_add(ctx, r);
}

static bool play(struct judged *j, const struct conform_targets_options *o)
{
	struct conform_progress progress = { .mode = o->progress,
					     .target = j->target->name,
					     .total = o->cases->count };
	char dir[PATH_MAX];
	struct err e;

	(void)snprintf(dir, sizeof(dir), "%s/%s", o->dir, j->target->name);
	if (dir_make(dir, DIR_MODE, &e) == 0)
		j->run = conform_run(
			&(struct conform_run_options){
				.name = j->name,
				.target = j->target,
				.program = o->program,
				.dir = dir,
				.network = o->network,
				.keep_world = o->keep_world,
				.patient = o->patient,
				.cases = (const struct case_file *const *)o->cases->items,
				.case_count = o->cases->count,
				.at_once = o->at_once,
				.repeat = o->repeat,
				.seed = o->seed,
				.shuffle = o->shuffle,
				.on_result = on_result,
				.ctx = &progress },
			&e);
	conform_progress_end(&progress);
	if (j->run == NULL)
		(void)fprintf(stderr, "postrider conform: %s: %s\n", j->target->name, e.text);
	return j->run != NULL;
}

static void note(struct judged *j, const struct conform_targets_options *o, int64_t elapsed_ms,
		 bool interrupted, struct conform_record *ret)
{
	*ret = (struct conform_record){
		.target = j->target->name,
		.title = j->target->title,
		.versions = buf_cstr(&j->versions),
		.strict = o->strict,
		.interrupted = interrupted,
		.problem = j->run != NULL ? conform_run_problem(j->run) : buf_cstr(&j->problem),
		.elapsed_ms = elapsed_ms,
		.deaths = j->run != NULL ? conform_run_deaths(j->run) : 0,
		.results = j->run != NULL ? conform_run_results(j->run) : j->unplayed,
		.waived = j->waived,
		.known = o->baseline != NULL ? j->known : NULL,
		.count = o->cases->count,
	};
}

bool conform_targets_judge(struct conform_targets *t, const struct conform_targets_options *o)
{
	bool fine = true, interrupted = false;

	for (uint32_t i = 0; i < t->count && fine; i++) {
		struct judged *j = &t->items[i];
		int64_t begin_ns = clock_mono_ns();
		mark(j, o);
		target_versions(j->target, &j->versions);
		if (!interrupted && can_be_judged(j, o->network))
			fine = play(j, o);
		if (j->run == NULL)
			leave_unplayed(j, o);
		else
			interrupted = conform_run_was_interrupted(j->run);
		note(j, o, (clock_mono_ns() - begin_ns) / 1000000, interrupted, &t->records[i]);
	}
	return fine;
}

/* ---- what came of it ---- */

const struct conform_record *conform_targets_records(const struct conform_targets *t)
{
	return t->records;
}

uint32_t conform_targets_count(const struct conform_targets *t)
{
	return t->count;
}

const char *conform_targets_name(const struct conform_targets *t, uint32_t index)
{
	return t->items[index].target->name;
}

void conform_targets_free(struct conform_targets *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->count; i++) {
		struct judged *j = &t->items[i];
		conform_run_free(j->run);
		target_free(j->target);
		free(j->unplayed);
		free(j->waived);
		free(j->known);
		buf_free(&j->versions);
		buf_free(&j->problem);
	}
	free(t);
}
