#include "harness/conform/play_parts.h"

#include "harness/conform/mailing.h"
#include "harness/conform/message_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	POLL_MS = 25,
	QUEUE_MS = 50, /* between two questions to a queue */
	EMPTIES = 2,   /* so often it is to be found empty */
	MESSAGES_MAX = 1000,
	MAILBOX_BYTES_MAX = 128 * 1024 * 1024,
	ACCOUNTS = 2,
};

static bool is_absence(enum case_step_kind k)
{
	return k == CASE_NOT_STORED || k == CASE_NOT_BOUNCED || k == CASE_NOT_NOTIFIED;
}

/* ---- looking ---- */

static void on_message(void *ctx, const struct retrieved *m)
{
	struct play *p = ctx;
	struct play_mailbox *b = &p->mailbox;

	if (b->count == MESSAGES_MAX || b->bytes + m->message.n > MAILBOX_BYTES_MAX)
		return;
	b->messages = realloc(b->messages, (b->count + 1) * sizeof(*b->messages));
	if (b->messages == NULL)
		abort();
	b->messages[b->count] = (struct buf){ 0 };
	buf_add(&b->messages[b->count++], m->message);
	b->bytes += m->message.n;
}

static void on_poll(void *ctx, const struct retriever_poll *poll)
{
	struct play *p = ctx;

	p->mailbox.polled = poll->outcome == RETRIEVER_OK;
	p->mailbox.poll_start_ns = poll->start_ns;
	(void)snprintf(p->mailbox.problem, sizeof(p->mailbox.problem), "%s", poll->problem);
	play_poke(p);
}

static void access_to(const struct play *p, uint32_t account, struct access *a)
{
	const struct sut *s = p->o.sut;
	const struct sut_service *clear = &s->services[CASE_POP3], *tls = &s->services[CASE_POP3S];
	bool scram = clear->there && sut_offers(s, CASE_POP3, "SASL=SCRAM-SHA-256");

	*a = (struct access){ .server = clear->at,
			      .allow_remote = s->allow_remote,
			      .tls_ctx = s->tls,
			      .server_name = s->host,
			      .mechanism = scram ? ACCESS_SCRAM_SHA_256 : ACCESS_USER_PASS,
			      .user = s->addresses[account],
			      .password = s->passwords[account] };
	if (scram)
		return;
	if (tls->there) {
		a->server = tls->at;
		a->tls = ACCESS_TLS;
	} else if (sut_offers(s, CASE_POP3, "STLS")) {
		a->tls = ACCESS_STARTTLS;
	}
}

static bool open_mailbox(struct play *p, uint32_t which)
{
	struct retriever_options o = { .loop = p->o.loop,
				       .interval_ms = POLL_MS,
				       .on_message = on_message,
				       .on_poll = on_poll,
				       .ctx = p };
	struct err e;

	if (p->mailbox.retriever != NULL)
		return true;
	access_to(p, p->o.first_account + which, &o.access);
	o.utf8 = sut_offers(p->o.sut, CASE_POP3, "UTF8") || sut_offers(p->o.sut, CASE_POP3S, "UTF8");
	p->mailbox.retriever = retriever_new(&o, &e);
	if (p->mailbox.retriever == NULL) {
		play_finish(p, CONFORM_ERROR, play_step(p)->line, "%s", e.text);
		return false;
	}
	retriever_start(p->mailbox.retriever);
	return true;
}

static void close_mailbox(struct play *p)
{
	struct play_mailbox *b = &p->mailbox;

	retriever_free(b->retriever);
	for (uint32_t i = 0; i < b->count; i++)
		buf_free(&b->messages[i]);
	free(b->messages);
	*b = (struct play_mailbox){ 0 };
}

void play_child_end(struct play *p)
{
	play_free(p->child);
	case_free(p->child_file);
	p->child = NULL;
	p->child_file = NULL;
	p->child_ok = false;
}

void play_queue_forget(struct play *p)
{
	if (p->queue != NULL)
		p->queue->play = NULL;
	p->queue = NULL;
	p->queue_answered = false;
	p->queue_empties = 0;
}

void play_mailbox_end(struct play *p)
{
	close_mailbox(p);
	play_child_end(p);
	play_queue_forget(p);
	timer_free(p->queue_timer);
	p->queue_timer = NULL;
	p->fence_sent = p->counting = false;
	p->queue_empty_ns = 0;
}

/* Which of the case's mailboxes; false, with the play over, when it is none. */
static bool which_mailbox(struct play *p, uint32_t *ret_which, struct buf *ret_address)
{
	const struct sut *s = p->o.sut;

	if (!play_expand(p, &play_step(p)->text, ret_address))
		return false;
	for (uint32_t i = 0; i < ACCOUNTS; i++) {
		if (!span_eq_nocase(buf_span(ret_address), span_of(s->addresses[p->o.first_account + i])))
			continue;
		*ret_which = i;
		return true;
	}
	play_finish(p, CONFORM_ERROR, play_step(p)->line,
		    "%s is no mailbox of this case; ${rcpt} and ${rcpt2} are", buf_cstr(ret_address));
	return false;
}

/* ---- a message on its way ---- */

static void on_child(void *ctx, struct play *child)
{
	struct play *p = ctx;
	const struct play_outcome *o = play_outcome(child);

	p->child_ok = o->verdict == CONFORM_PASS;
	transcript_note(&p->outcome.transcript, play_now(), 0, "%s%s%s",
			p->fence_sent || p->world.settle == PLAY_SENDS_FENCE ? "fence sent" : "mail sent",
			p->child_ok ? "" : ", in vain: ", o->why);
	p->outcome.lost = o->lost;
	if (!p->child_ok)
		play_finish(p, CONFORM_INCONCLUSIVE, play_step(p)->line,
			    "the server did not take the mail: %s", o->why);
	else
		play_poke(p);
}

void play_child_start(struct play *p, struct mailing *m)
{
	struct buf text = { 0 }, messages = { 0 };
	const struct sut *s = p->o.sut;

	if (!mailing_service(s, p->file, &m->service)) {
		play_finish(p, CONFORM_NOT_TESTED, play_step(p)->line,
			    "the target has no service that takes mail");
		return;
	}
	const char *lack = mailing_lacks(s, m);
	if (lack != NULL) {
		play_finish(p, CONFORM_NOT_TESTED, play_step(p)->line,
			    "mail cannot be sent: %s does not offer %s", case_service_name(m->service), lack);
		return;
	}
	bool submits = m->service == CASE_SUBMISSION || m->service == CASE_SUBMISSIONS;
	if (m->sender == NULL)
		m->sender = submits ? s->addresses[p->o.first_account] : "harness@probe.example";
	mailing_text(m, &text);
	p->child_file = case_read(&(struct case_options){
		.path = "mailing", .text = buf_span(&text), .ret_messages = &messages });
	if (p->child_file == NULL) {
		play_finish(p, CONFORM_ERROR, play_step(p)->line, "mailing: %s", buf_cstr(&messages));
	} else {
		struct play_options o = p->o;
		o.file = p->child_file;
		o.done = on_child;
		o.ctx = p;
		p->child = play_new(&o);
		p->child_ok = false;
		p->wait = PLAY_WAITS_CHILD;
		play_start(p->child);
	}
	buf_free(&text);
	buf_free(&messages);
}

static void start_fence(struct play *p, const char *recipient)
{
	struct buf content = { 0 };

	p->fence_sent = true;
	(void)snprintf(p->fence, sizeof(p->fence), "f%" PRIx64 "-%u", p->o.token, ++p->fence_count);
	buf_addf(&content,
		 "From: <harness@probe.example>\r\nTo: <%s>\r\nSubject: fence\r\n"
		 "Date: Sun, 01 Mar 2026 12:00:00 +0000\r\nMessage-ID: "
		 "<%s@probe.example>\r\n" MESSAGE_FENCE_FIELD
		 ": %s\r\n\r\nAll that came before this has come.\r\n",
		 recipient, p->fence, p->fence);
	play_child_start(p, &(struct mailing){ .recipient = recipient, .content = buf_span(&content) });
	buf_free(&content);
}

void play_set_deadline(struct play *p)
{
	p->deadline_ns = play_now() + play_limit_ms(p) * 1000000;
	timer_set_ms(p->timer, play_limit_ms(p));
}

void play_mailbox_mail(struct play *p)
{
	struct buf address = { 0 }, content = { 0 };
	uint32_t which;

	play_set_deadline(p);
	if (which_mailbox(p, &which, &address) && play_expand(p, &play_step(p)->content, &content)) {
		/* The case may have deleted some of what was placed. */
		p->counting = p->placed[which] > 0;
		p->wait = PLAY_WAITS_MAILBOX;
		if (p->counting)
			(void)open_mailbox(p, which);
		else
			play_child_start(p, &(struct mailing){ .recipient = buf_cstr(&address),
							       .content = buf_span(&content) });
	}
	buf_free(&address);
	buf_free(&content);
}

void play_mailbox_look(struct play *p)
{
	const struct case_step *s = play_step(p);
	struct buf address = { 0 };
	uint32_t which;
	bool counts = is_absence(s->kind);

	play_set_deadline(p);
	for (uint32_t i = 0; i < s->check_count; i++)
		counts = counts || s->checks[i].kind == CASE_CHECK_COUNT;
	if (which_mailbox(p, &which, &address)) {
		p->wait = PLAY_WAITS_MAILBOX;
		if (counts)
			start_fence(p, buf_cstr(&address));
		else
			(void)open_mailbox(p, which);
	}
	buf_free(&address);
}

/* ---- the server's queue ---- */

static void on_queue_timer(void *ctx);

static void ask_again(struct play *p)
{
	if (p->queue_timer == NULL)
		p->queue_timer = timer_new(p->o.loop, on_queue_timer, p);
	timer_set_ms(p->queue_timer, QUEUE_MS);
}

/* A message that moves within the queue while that is listed may be missed, but hardly twice. */
static bool is_believed(struct play *p, bool known, uint32_t count)
{
	p->queue_empties = known && count == 0 ? p->queue_empties + 1 : 0;
	return p->queue_empties == 0 || p->queue_empties >= EMPTIES;
}

static void on_queue(void *ctx, bool known, uint32_t count)
{
	struct play_queue *q = ctx;
	struct play *p = q->play;

	free(q);
	if (p == NULL)
		return;
	p->queue = NULL;
	if (!is_believed(p, known, count)) {
		ask_again(p);
		return;
	}
	p->queue_answered = true;
	p->queue_known = known;
	p->queue_count = count;
	if (p->wait == PLAY_WAITS_RELAY) {
		play_poke(p);
		return;
	}
	if (known && count == 0) {
		p->queue_empty_ns = play_now(); /* the next look into the mailbox decides */
		return;
	}
	ask_again(p);
}

static void ask_queue(struct play *p)
{
	const struct sut *s = p->o.sut;
	struct play_queue *q = calloc(1, sizeof(*q));
	struct sut_whose whose = { 0 };

	if (q == NULL)
		abort();
	if (p->file->role == CASE_ROLE_CLIENT)
		whose = (struct sut_whose){ p->world.zone, s->addresses + p->o.first_account, ACCOUNTS };
	q->play = p;
	p->queue = q;
	s->ask_queue(s->queue_ctx, &whose, on_queue, q);
}

static void on_queue_timer(void *ctx)
{
	ask_queue(ctx);
}

void play_queue_ask(struct play *p)
{
	if (p->o.sut->ask_queue == NULL) {
		p->queue_answered = true;
		p->queue_known = false;
		return;
	}
	if (p->queue_timer == NULL)
		p->queue_timer = timer_new(p->o.loop, on_queue_timer, p);
	if (p->queue == NULL && !timer_is_set(p->queue_timer))
		timer_set_ms(p->queue_timer, p->queue_asked ? QUEUE_MS : 0);
	p->queue_asked = true;
}

/*
 * Whether the mailbox was looked into after the queue had been found empty; asks it when that is not known yet.
 * A queue that cannot be asked counts as empty, but not where the queue is what is judged.
 */
static bool all_has_come(struct play *p)
{
	if (p->o.sut->ask_queue == NULL)
		return p->file->role != CASE_ROLE_CLIENT;
	if (p->queue_empty_ns > 0)
		return p->mailbox.poll_start_ns >= p->queue_empty_ns;
	if (p->queue == NULL && (p->queue_timer == NULL || !timer_is_set(p->queue_timer)))
		ask_queue(p);
	return false;
}

/* ---- judging ---- */

static bool fence_is_here(const struct play *p)
{
	for (uint32_t i = 0; i < p->mailbox.count; i++) {
		struct span m = buf_span(&p->mailbox.messages[i]);
		if (m.n > 0 && memmem(m.p, m.n, p->fence, strlen(p->fence)) != NULL && message_is_fence(m))
			return true;
	}
	return false;
}

static uint32_t count_messages(const struct play *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->mailbox.count; i++)
		n += !message_is_fence(buf_span(&p->mailbox.messages[i]));
	return n;
}

static bool is_wanted(struct play *p, struct span message, struct buf *why)
{
	const struct case_step *s = play_step(p);

	buf_reset(why);
	if ((s->kind == CASE_BOUNCED || s->kind == CASE_NOT_BOUNCED) && !message_is_bounce(message, why))
		return false;
	if ((s->kind == CASE_NOTIFIED || s->kind == CASE_NOT_NOTIFIED) &&
	    !message_is_notification(message, why))
		return false;
	return message_passes(message, s, &p->values, why);
}

/* Whether a message is there that is all the step wants; *why has what the last one lacks. */
static bool any_is_wanted(struct play *p, struct buf *why)
{
	for (uint32_t i = 0; i < p->mailbox.count; i++) {
		struct span m = buf_span(&p->mailbox.messages[i]);
		if (!message_is_fence(m) && is_wanted(p, m, why))
			return true;
	}
	return false;
}

static void settle(struct play *p, bool fine, const char *why)
{
	transcript_note(&p->outcome.transcript, play_now(), 0, "mailbox: %u message%s", count_messages(p),
			count_messages(p) == 1 ? "" : "s");
	play_mailbox_end(p);
	if (fine)
		play_next(p);
	else
		play_unexpected(p, CASE_ON_OTHER, NULL, why);
}

/* A mailbox to which everything has come. */
static void judge_last(struct play *p)
{
	const struct case_step *s = play_step(p);
	struct buf why = { 0 };
	uint32_t count = count_messages(p);
	bool counts, fine;

	if (is_absence(s->kind)) {
		fine = !any_is_wanted(p, &why);
		buf_reset(&why);
		buf_addf(&why, "the mailbox has such a message; it has %u", count);
	} else {
		fine = message_count_passes(count, s, &counts, &why);
		if (fine && !(counts && count == 0) && !any_is_wanted(p, &why)) {
			fine = false;
			if (buf_bytes(&why) == 0)
				buf_add_cstr(&why, "no message is in the mailbox");
		}
	}
	settle(p, fine, buf_cstr(&why));
	buf_free(&why);
}

static void overdue(struct play *p)
{
	const struct case_step *s = play_step(p);
	struct buf why = { 0 };

	buf_addf(&why, "%s within %.3g s",
		 p->fence_sent ? "a second message sent after it did not arrive" : "no message arrived",
		 (double)play_limit_ms(p) / 1000);
	if (p->mailbox.problem[0] != '\0')
		buf_addf(&why, "; the mailbox: %s", p->mailbox.problem);
	if (p->fence_sent && fence_is_here(p))
		buf_add_cstr(&why, ", or did but the server's queue did not become empty");
	/* With a fence out of sight, only an empty mailbox where a message was due says something; with one that
	 * came, that no message was the one that was due. */
	struct buf lack = { 0 };
	bool nothing_came =
		!is_absence(s->kind) &&
		(p->mailbox.count == 0 || (p->fence_sent && fence_is_here(p) && !any_is_wanted(p, &lack)));
	buf_free(&lack);
	bool blind = p->mailbox.problem[0] != '\0' || (p->fence_sent && !nothing_came);
	play_mailbox_end(p);
	if (blind)
		play_finish(p, CONFORM_INCONCLUSIVE, s->line, "%s", buf_cstr(&why));
	else
		play_unexpected(p, CASE_ON_TIMEOUT, NULL, buf_cstr(&why));
	buf_free(&why);
}

static void count_before_mail(struct play *p, uint32_t which, const char *address)
{
	struct buf content = { 0 };

	p->placed[which] = count_messages(p);
	play_mailbox_end(p);
	if (play_expand(p, &play_step(p)->content, &content))
		play_child_start(p, &(struct mailing){ .recipient = address, .content = buf_span(&content) });
	buf_free(&content);
}

static void look_after_mail(struct play *p, uint32_t which)
{
	if (count_messages(p) <= p->placed[which])
		return;
	p->placed[which] = count_messages(p);
	play_mailbox_end(p);
	play_next(p);
}

static void look(struct play *p, uint32_t which, const char *address)
{
	struct buf why = { 0 };

	p->mailbox.polled = false;
	if (p->counting) {
		count_before_mail(p, which, address);
	} else if (play_step(p)->kind == CASE_MAIL) {
		look_after_mail(p, which);
	} else if (p->fence_sent) {
		/* What should not be there and is needs no waiting. */
		bool decided = is_absence(play_step(p)->kind) && any_is_wanted(p, &why);
		if (decided || (fence_is_here(p) && all_has_come(p)))
			judge_last(p);
	} else if (any_is_wanted(p, &why)) {
		settle(p, true, "");
	} else if (count_messages(p) > 0) {
		/* Perhaps the wanted one is still on its way: judged when nothing can come any more. */
		start_fence(p, address);
	}
	buf_free(&why);
}

void play_mailbox_go_on(struct play *p)
{
	struct buf address = { 0 };
	uint32_t which;

	if (play_now() >= p->deadline_ns) {
		overdue(p);
		return;
	}
	if (!which_mailbox(p, &which, &address))
		goto out;
	if (p->wait == PLAY_WAITS_CHILD && p->child_ok) {
		play_child_end(p);
		p->wait = PLAY_WAITS_MAILBOX;
		if (!open_mailbox(p, which))
			goto out;
	}
	if (p->mailbox.polled)
		look(p, which, buf_cstr(&address));
out:
	buf_free(&address);
}
