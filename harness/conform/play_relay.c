#include "harness/conform/play_parts.h"

#include "harness/conform/content_check.h"
#include "harness/conform/message_check.h"
#include "harness/judge/dkim_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a case with role client submits, and what it judges of that which its next hops have recorded. */

enum {
	IMPATIENCE_MS = 1500, /* then it is found out whether what is waited for can still come */
};

/* ---- submitting ---- */

static void default_content(const struct play *p, const char *recipients, struct buf *out)
{
	const struct value *sender = values_get(&p->values, SPAN_LIT("sender"));

	buf_addf(out,
		 "From: <%.*s>\r\nTo: %s\r\nSubject: a message of a case\r\nDate: Sun, 01 Mar 2026 12:00:00 "
		 "+0000\r\nMessage-ID: <c%" PRIx64 "-%u@probe.example>\r\n\r\nA line of text.\r\n",
		 SPAN_FMT(buf_span(&sender->value)), recipients, p->o.token, p->world.submitted);
}

static bool expand_recipients(struct play *p, const struct case_submission *m, struct buf *list,
			      struct buf *shown)
{
	for (uint32_t i = 0; i < m->recipient_count; i++) {
		size_t before = buf_bytes(list);
		if (!play_expand(p, &m->recipients[i], list))
			return false;
		struct span one = span_sub(buf_span(list), before, buf_bytes(list));
		if (i < 4)
			buf_addf(shown, "%s<%.*s>", i > 0 ? ", " : "", SPAN_FMT(one));
		buf_add_cstr(list, "\n");
	}
	return true;
}

/* The signature goes in front. */
static void sign(const struct case_submission *m, struct span domain, struct buf *content)
{
	struct buf all = { 0 };

	dkim_sign(buf_span(content), domain, m->relaxed_header ? DKIM_RELAXED : DKIM_SIMPLE,
		  m->relaxed_body ? DKIM_RELAXED : DKIM_SIMPLE, &all);
	buf_add(&all, buf_span(content));
	buf_free(content);
	*content = all;
}

void play_relay_submit(struct play *p)
{
	const struct case_submission *m = play_step(p)->submission;
	struct play_world *w = &p->world;
	struct buf recipients = { 0 }, shown = { 0 }, from = { 0 }, mail = { 0 }, rcpt = { 0 };

	w->settle = PLAY_UNSETTLED;
	w->same_twice |= m->has_content && w->submitted > 0;
	w->submitted++;
	w->submits = true;
	play_set_deadline(p);
	buf_reset(&w->content);
	bool fine = expand_recipients(p, m, &recipients, &shown) &&
		    play_expand(p, &m->content, &w->content) && play_expand(p, &m->from, &from) &&
		    play_expand(p, &m->mail, &mail) && play_expand(p, &m->rcpt, &rcpt);
	if (fine && !m->has_from)
		buf_add(&from, buf_span(&values_get(&p->values, SPAN_LIT("sender"))->value));
	if (fine && !m->has_content)
		default_content(p, buf_cstr(&shown), &w->content);
	if (fine && m->is_signed)
		sign(m, span_of(w->zone), &w->content);
	if (fine)
		play_child_start(p, &(struct mailing){ .recipient = buf_cstr(&recipients),
						       .content = buf_span(&w->content),
						       .sender = buf_cstr(&from),
						       .mail_parameters = buf_cstr(&mail),
						       .rcpt_parameters = buf_cstr(&rcpt) });
	buf_free(&recipients);
	buf_free(&shown);
	buf_free(&from);
	buf_free(&mail);
	buf_free(&rcpt);
}

/* ---- everything has happened ---- */

static void send_fence(struct play *p)
{
	struct play_world *w = &p->world;
	char address[128];
	struct buf content = { 0 };

	if (!play_hops_fence(p))
		return;
	w->settle = PLAY_SENDS_FENCE;
	w->fences++;
	(void)snprintf(address, sizeof(address), "fence@%s\n", w->fence);
	buf_addf(&content,
		 "From: <harness@probe.example>\r\nSubject: fence\r\nDate: Sun, 01 Mar 2026 12:00:00 "
		 "+0000\r\nMessage-ID: <f%" PRIx64 "-%u@probe.example>\r\n" MESSAGE_FENCE_FIELD
		 ": %u\r\n\r\nAll that came before this has come.\r\n",
		 p->o.token, w->fences, w->fences);
	play_child_start(p, &(struct mailing){ .recipient = address, .content = buf_span(&content) });
	buf_free(&content);
}

/*
 * Whether the queue was listed since the fence came, and has nothing of this case; else it is asked.  Of one that
 * cannot be listed this is never known.
 */
static bool queue_is_empty(struct play *p)
{
	if (p->queue_answered && p->queue_known && p->queue_count == 0)
		return true;
	p->queue_answered = false;
	play_queue_ask(p);
	return false;
}

/* Goes one step further; true: settled.  The step is looked at again when there is news. */
static bool settle(struct play *p)
{
	struct play_world *w = &p->world;

	if (w->settle == PLAY_UNSETTLED)
		send_fence(p);
	else if (w->settle == PLAY_SENDS_FENCE) /* the child has ended */
		w->settle = PLAY_AWAITS_FENCE;
	if (w->settle == PLAY_AWAITS_FENCE && hop_taken_count(w->fence_hop) >= w->fences) {
		w->settle = PLAY_ASKS_QUEUE;
		play_queue_forget(p); /* what was asked before it came */
	}
	if (w->settle == PLAY_ASKS_QUEUE && queue_is_empty(p)) {
		w->settle = PLAY_SETTLED;
		transcript_note(&p->outcome.transcript, play_now(), 0,
				"the fence has arrived, and nothing of this case waits any more");
	}
	return w->settle == PLAY_SETTLED;
}

/* ---- counting ---- */

/* Whether more could still break it. */
static bool is_final_count(const struct case_step *s)
{
	for (uint32_t i = 0; i < s->check_count; i++)
		if (s->checks[i].kind == CASE_CHECK_COUNT && s->checks[i].op != CASE_AT_LEAST)
			return true;
	return false;
}

bool play_counts_hold(const struct case_step *s, const int64_t *at_ns, uint32_t count, const char *what,
		      bool *ret_any, struct buf *why)
{
	*ret_any = false;
	for (uint32_t i = 0; i < s->check_count; i++) {
		const struct case_check *c = &s->checks[i];
		if (c->kind == CASE_CHECK_COUNT) {
			*ret_any = true;
			if (case_compare(count, c->op, c->n))
				continue;
			buf_addf(why, "there %s %u %s%s", count == 1 ? "is" : "are", count, what,
				 count == 1 ? "" : "s");
			return false;
		}
		if (c->kind != CASE_CHECK_APART)
			continue;
		for (uint32_t k = 1; k < count; k++) {
			int64_t ms = (at_ns[k] - at_ns[k - 1]) / 1000000;
			if (ms >= (int64_t)c->n)
				continue;
			buf_addf(why, "%" PRId64 " ms lie between %s %u and the next", ms, what, k);
			return false;
		}
	}
	return true;
}

/* ---- lines ---- */

static bool line_fits(struct play *p, const struct hop_line *l, const struct case_text *pattern)
{
	return values_match(&p->values, pattern, buf_span(&l->text));
}

/* The first line behind line i on its connection, or with a pattern the first that is like it; line_count: none. */
static uint32_t line_behind(struct play *p, const struct hop *h, uint32_t i, const struct case_text *pattern)
{
	uint32_t j = i + 1;

	while (j < h->line_count && (h->lines[j].connection != h->lines[i].connection ||
				     (pattern != NULL && !line_fits(p, &h->lines[j], pattern))))
		j++;
	return j;
}

/* Whether what `then` and `next` want comes behind line i on its connection. */
static bool followers_hold(struct play *p, const struct hop *h, const struct case_step *s, uint32_t i)
{
	for (uint32_t k = 0; k < s->check_count; k++) {
		const struct case_check *c = &s->checks[k];
		if (c->kind != CASE_CHECK_THEN && c->kind != CASE_CHECK_NEXT)
			continue;
		i = line_behind(p, h, i, c->kind == CASE_CHECK_THEN ? &c->text : NULL);
		if (i >= h->line_count || !line_fits(p, &h->lines[i], &c->text))
			return false;
	}
	return true;
}

static bool has_check(const struct case_step *s, enum case_check_kind kind)
{
	for (uint32_t k = 0; k < s->check_count; k++)
		if (s->checks[k].kind == kind)
			return true;
	return false;
}

static bool is_ascii(struct span line)
{
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] < ' ' || line.p[i] > '~')
			return false;
	return true;
}

/* What every line must be that is as the step says. */
static bool line_passes(const struct hop *h, const struct case_step *s, const struct hop_line *l,
			struct buf *why)
{
	if (has_check(s, CASE_CHECK_ALONE) && !l->alone) {
		buf_addf(why, "%s heard more behind it before it was answered", h->name);
		return false;
	}
	if (has_check(s, CASE_CHECK_ASCII) && !is_ascii(buf_span(&l->text))) {
		buf_addf(why, "%s heard one with other characters than printable US-ASCII", h->name);
		return false;
	}
	if (has_check(s, CASE_CHECK_CRLF) && !l->crlf) {
		buf_addf(why, "%s heard one that ended in LF alone", h->name);
		return false;
	}
	return true;
}

static bool heard(struct play *p, const struct hop *h, struct buf *why)
{
	const struct case_step *s = play_step(p);
	static int64_t at_ns[HOP_LINES_MAX];
	uint32_t count = 0, without_then = 0, unanswered = 0;
	bool any;

	for (uint32_t i = 0; i < h->line_count; i++) {
		if (!line_fits(p, &h->lines[i], &s->text))
			continue;
		if (!line_passes(h, s, &h->lines[i], why))
			return false;
		if (has_check(s, CASE_CHECK_AWAITED) && !h->lines[i].answered)
			unanswered++;
		else if (followers_hold(p, h, s, i))
			at_ns[count++] = h->lines[i].at_ns;
		else
			without_then++;
	}
	if (!play_counts_hold(s, at_ns, count, "such line", &any, why))
		return false;
	if (count == 0 && !any)
		buf_addf(why,
			 unanswered > 0     ? "%s was left without a reply to it"
			 : without_then > 0 ? "%s heard it, but not what should come behind it"
					    : "%s has heard no such line",
			 h->name);
	return count > 0 || any;
}

/* ---- contents ---- */

static bool content_passes(const struct play *p, const struct hop_content *c, struct buf *why)
{
	const struct case_step *s = play_step(p);

	buf_reset(why);
	return content_check(c, s, buf_span(&p->world.content), why) &&
	       message_passes(buf_span(&c->content), s, &p->values, why);
}

static bool asks_of_content(const struct case_step *s)
{
	for (uint32_t i = 0; i < s->check_count; i++)
		if (s->checks[i].kind != CASE_CHECK_COUNT && s->checks[i].kind != CASE_CHECK_APART)
			return true;
	return false;
}

/* A lone dot ends a transaction without recipients (RFC 2920 section 3.1): no message, unless more is asked of it. */
static bool is_message(const struct play *p, const struct hop_content *c)
{
	return c->taken && (buf_bytes(&c->content) > 0 || asks_of_content(play_step(p)));
}

/* One message is to be as the step says; where more could break the count, each is. */
static bool received(const struct play *p, const struct hop *h, struct buf *why)
{
	const struct case_step *s = play_step(p);
	static int64_t at_ns[HOP_LINES_MAX];
	uint32_t count = 0, good = 0;
	struct buf what = { 0 }, lack = { 0 };
	bool any, fine;

	for (uint32_t i = 0; i < h->content_count && count < HOP_LINES_MAX; i++) {
		if (!is_message(p, &h->contents[i]))
			continue;
		at_ns[count++] = h->contents[i].at_ns;
		if (content_passes(p, &h->contents[i], &what)) {
			good++;
		} else {
			buf_reset(&lack);
			buf_add(&lack, buf_span(&what));
		}
	}
	fine = play_counts_hold(s, at_ns, count, "message", &any, why);
	uint32_t wanted = is_final_count(s) ? count : any && count == 0 ? 0 : 1;
	if (fine && good < wanted) {
		fine = false;
		if (count == 0)
			buf_addf(why, "%s has taken no message", h->name);
		else
			buf_add(why, buf_span(&lack));
	}
	buf_free(&what);
	buf_free(&lack);
	return fine;
}

/* ---- connections ---- */

static bool connected(const struct play *p, const struct hop *h, struct buf *why)
{
	const struct case_step *s = play_step(p);
	const struct hop *other = s->has_other_hop ? p->world.hops[s->other_hop] : NULL;
	bool any;

	if (!play_counts_hold(s, h->connected_ns, h->connection_count, "connection", &any, why))
		return false;
	if (h->connection_count == 0 && !any) {
		buf_addf(why, "no connection to %s came", h->name);
		return false;
	}
	if (h->early_count > 0 && has_check(s, CASE_CHECK_GREETED)) {
		buf_addf(why, "something was said to %s before it had greeted", h->name);
		return false;
	}
	if (other == NULL)
		return true;
	if (other->connection_count == 0) {
		buf_addf(why, "no connection to %s came", other->name);
		return false;
	}
	if (h->connected_ns[0] <= other->connected_ns[0])
		return true;
	buf_addf(why, "the first connection to %s came before that to %s", other->name, h->name);
	return false;
}

/* ---- handshakes ---- */

/* Whether this one asked for the name that each is to ask for. */
static bool name_is(const struct play *p, const struct hop_handshake *t, const struct case_check *c,
		    struct buf *why)
{
	struct buf want = { 0 };
	struct span missing, got = buf_span(&t->server_name);

	bool fine = values_expand(&p->values, &c->text, &want, NULL, &missing) &&
		    span_eq_nocase(got, buf_span(&want));
	if (!fine)
		buf_addf(why, "the name asked for is \"%.*s\"", SPAN_FMT(got));
	buf_free(&want);
	return fine;
}

static bool secured(const struct play *p, const struct hop *h, struct buf *why)
{
	const struct case_step *s = play_step(p);
	static int64_t at_ns[HOP_CONNECTIONS_MAX];
	bool any;

	for (uint32_t i = 0; i < h->handshake_count; i++)
		at_ns[i] = h->handshakes[i].at_ns;
	if (!play_counts_hold(s, at_ns, h->handshake_count, "TLS handshake", &any, why))
		return false;
	for (uint32_t k = 0; k < s->check_count; k++)
		for (uint32_t i = 0; i < h->handshake_count && s->checks[k].kind == CASE_CHECK_SERVER_NAME;
		     i++)
			if (!name_is(p, &h->handshakes[i], &s->checks[k], why))
				return false;
	if (h->handshake_count == 0 && !any)
		buf_addf(why, "no TLS handshake with %s came to its end", h->name);
	return h->handshake_count > 0 || any;
}

/* ---- what waits ---- */

/* By the last answer; the next is asked for when it is not as wanted. */
static bool queue_is(struct play *p, bool wanted, struct buf *why)
{
	bool holds = p->queue_answered && p->queue_known && (p->queue_count > 0) == wanted;

	if (p->queue_known)
		buf_addf(why, "%u message%s of this case wait%s in the relay's queue", p->queue_count,
			 p->queue_count == 1 ? "" : "s", p->queue_count == 1 ? "s" : "");
	else
		buf_add_cstr(why, "the relay's queue could not be listed");
	p->queue_answered = false;
	if (!holds)
		play_queue_ask(p);
	return holds;
}

/* ---- judging ---- */

static bool is_absence(const struct case_step *s)
{
	return s->kind == CASE_NOT_RECEIVED || s->kind == CASE_NOT_HEARD || s->kind == CASE_NOT_CONNECTED ||
	       s->kind == CASE_NOT_ASKED;
}

/* Messages that it took and that are like this; *how says more of the last of them, if there is more to say. */
static uint32_t count_received(const struct play *p, const struct hop *h, struct buf *how)
{
	struct buf why = { 0 };
	uint32_t n = 0;

	for (uint32_t i = 0; i < h->content_count; i++) {
		if (!is_message(p, &h->contents[i]) || !content_passes(p, &h->contents[i], &why))
			continue;
		n++;
		buf_reset(how);
		buf_add(how, buf_span(&why));
	}
	buf_free(&why);
	return n;
}

/* Nothing of that is there; else *why says what. */
static bool is_absent(struct play *p, struct buf *why)
{
	const struct case_step *s = play_step(p);
	const struct hop *h = p->world.hops[s->hop];
	struct buf how = { 0 };
	uint32_t count = 0;

	if (s->kind == CASE_NOT_RECEIVED)
		count = count_received(p, h, &how);
	else if (s->kind == CASE_NOT_CONNECTED)
		count = h->connection_count;
	else
		for (uint32_t i = 0; i < h->line_count; i++)
			count += line_fits(p, &h->lines[i], &s->text) && followers_hold(p, h, s, i);
	const char *what = s->kind == CASE_NOT_RECEIVED ? (s->check_count > 0 ? "such messages it has taken"
									      : "messages it has taken")
			   : s->kind == CASE_NOT_CONNECTED ? "connections to it"
							   : "such lines it has heard";
	buf_addf(why, "%s: %u %s%s%s", h->name, count, what, buf_bytes(&how) > 0 ? ": " : "", buf_cstr(&how));
	buf_free(&how);
	return count == 0;
}

static bool holds(struct play *p, struct buf *why)
{
	const struct case_step *s = play_step(p);
	const struct hop *h = p->world.hops[s->hop];

	if (s->kind == CASE_ASKED)
		return play_policy_asked(p, why);
	if (s->kind == CASE_NOT_ASKED)
		return play_policy_is_unasked(p, why);
	if (is_absence(s))
		return is_absent(p, why);
	if (s->kind == CASE_RECEIVED)
		return received(p, h, why);
	if (s->kind == CASE_HEARD)
		return heard(p, h, why);
	if (s->kind == CASE_CONNECTED)
		return connected(p, h, why);
	if (s->kind == CASE_SECURED)
		return secured(p, h, why);
	return queue_is(p, s->kind == CASE_QUEUED, why);
}

static void over(struct play *p, bool fine, enum case_event event, const char *why)
{
	timer_clear(p->timer);
	if (p->world.impatience != NULL)
		timer_clear(p->world.impatience);
	p->world.impatient = false;
	if (fine)
		play_next(p);
	else
		play_unexpected(p, event, NULL, why);
}

/* `so_far`: it is as the step says by now, but more could have come. */
static void overdue(struct play *p, bool so_far, const char *why)
{
	const struct case_step *s = play_step(p);
	bool queue = s->kind == CASE_QUEUED || s->kind == CASE_NOT_QUEUED;
	double within_s = (double)play_limit_ms(p) / 1000;
	struct buf text = { 0 };

	if (p->wait == PLAY_WAITS_CHILD) {
		play_child_end(p);
		play_finish(p, CONFORM_INCONCLUSIVE, s->line, "the relay did not take a message in time");
	} else if (queue && !p->queue_known) {
		play_finish(p, CONFORM_INCONCLUSIVE, s->line, "%s", why);
	} else if (is_absence(s) || so_far) {
		/* That nothing comes any more was not found out. */
		play_finish(p, CONFORM_INCONCLUSIVE, s->line,
			    "within %.3g s the relay had not done with the mail of this case", within_s);
	} else {
		buf_addf(&text, "%s within %.3g s", why, within_s);
		over(p, false, CASE_ON_TIMEOUT, buf_cstr(&text));
	}
	buf_free(&text);
}

static void look(struct play *p)
{
	const struct case_step *s = play_step(p);
	bool queue = s->kind == CASE_QUEUED || s->kind == CASE_NOT_QUEUED;
	bool last = is_absence(s) || is_final_count(s);
	struct buf why = { 0 };

	bool settled = !queue && (p->world.settle == PLAY_SETTLED ||
				  ((last || p->world.impatient) && p->world.submits && settle(p)));
	if (p->wait == PLAY_IS_OVER || p->wait == PLAY_WAITS_CHILD)
		return;
	bool fine = holds(p, &why);
	/* A connection that is open still says something, QUIT at last; and a policy is also looked after without mail. */
	bool may_come =
		s->kind == CASE_ASKED || (s->kind == CASE_HEARD && hop_open_count(p->world.hops[s->hop]) > 0);
	bool final = settled && (last || !may_come);
	if (is_absence(s) && !fine)
		over(p, false, CASE_ON_OTHER, buf_cstr(&why)); /* it is there already */
	else if (fine && (!last || settled))
		over(p, true, CASE_ON_OTHER, "");
	else if (final)
		over(p, false, CASE_ON_OTHER, buf_cstr(&why));
	else if (play_now() >= p->deadline_ns)
		overdue(p, fine, buf_cstr(&why));
	buf_free(&why);
}

static void on_impatience(void *ctx)
{
	struct play *p = ctx;

	p->world.impatient = true;
	play_poke(p);
}

static bool is_about_hop(const struct case_step *s)
{
	return s->kind != CASE_QUEUED && s->kind != CASE_NOT_QUEUED && s->kind != CASE_ASKED &&
	       s->kind != CASE_NOT_ASKED;
}

void play_relay_judge(struct play *p)
{
	const struct case_step *s = play_step(p);
	struct play_world *w = &p->world;

	if (is_about_hop(s) && s->hop < p->file->hop_count && w->hops[s->hop] == NULL) {
		play_finish(p, CONFORM_ERROR, s->line, "there is no next hop yet");
		return;
	}
	p->wait = PLAY_WAITS_RELAY;
	p->queue_answered = p->queue_known = false;
	p->queue_empties = 0;
	play_set_deadline(p);
	if (w->impatience == NULL)
		w->impatience = timer_new(p->o.loop, on_impatience, p);
	timer_set_ms(w->impatience, IMPATIENCE_MS);
	look(p);
}

void play_relay_go_on(struct play *p)
{
	bool submits = play_step(p)->kind == CASE_SUBMIT;

	if (p->wait == PLAY_WAITS_CHILD) {
		if (!p->child_ok) {
			if (play_now() >= p->deadline_ns)
				overdue(p, false, "");
			return;
		}
		play_child_end(p);
		p->wait = PLAY_WAITS_RELAY;
	}
	if (submits)
		play_next(p);
	else
		look(p);
}
