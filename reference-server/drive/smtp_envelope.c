#include "reference-server/drive/smtp_session_parts.h"

#include "base/addr.h"
#include "base/idna.h"
#include "base/log.h"
#include "reference-server/core/mutant.h"
#include "reference-server/core/utf8.h"
#include "reference-server/drive/directory.h"
#include "reference-server/policy/accept.h"

#include <errno.h>
#include <assert.h>
#include <string.h>

/* What the core cannot know: whether a name is one that IDNA allows. */
static bool is_idna(struct span address)
{
	char text[IDNA_NAME_BYTES_MAX + 1];
	struct span name;
	struct address a;

	return utf8_is_ascii(address) ||
	       (address_parse_text(address, &a) == ADDRESS_OK && idna_to_ascii(a.domain, text, &name));
}

static void set_wishes(struct envelope *e, const struct smtp_server *core)
{
	if (core->body == SMTP_BODY_8BITMIME)
		e->flags |= ENVELOPE_8BITMIME;
	if (core->body == SMTP_BODY_BINARYMIME)
		e->flags |= ENVELOPE_BINARYMIME;
	if (core->ret != SMTP_RET_UNSAID)
		e->flags |= core->ret == SMTP_RET_FULL ? ENVELOPE_RET_FULL : ENVELOPE_RET_HDRS;
	if (core->utf8)
		e->flags |= ENVELOPE_SMTPUTF8;
	if (core->requires_tls)
		e->flags |= ENVELOPE_REQUIRETLS;
	if (core->by == SMTP_BY_RETURN)
		e->flags |= ENVELOPE_BY_RETURN;
	if (core->by_trace)
		e->flags |= ENVELOPE_BY_TRACE;
	e->deliver_by_wall_ms =
		core->by != SMTP_BY_NONE && !MUTANT(BY_FORGOTTEN) ? core->deliver_by_wall_ms : 0;
	envelope_set_envid(e, core->envid);
	if (!MUTANT(HOLD_FORGOTTEN))
		envelope_set_hold(e, core->release_wall_ms, core->hold);
}

/* RFC 6409 6.1.  Notifications that a user agent makes have no sender (RFC 8098 3), and anybody may make some. */
static enum smtp_answer may_send_as(const struct smtp_session *s, struct span reverse_path)
{
	const struct directory *d = s->server->directory;
	struct address sender, user;
	uint32_t account = 0;
	int rc = -ENOENT;

	if (!s->server->config->submission_own_sender || s->profile->core.role != SMTP_ROLE_SUBMISSION ||
	    reverse_path.n == 0)
		return SMTP_ANSWER_ACCEPT;
	if (address_parse_text(reverse_path, &sender) == ADDRESS_OK &&
	    address_parse_mailbox(s->core.identity, &user) == ADDRESS_OK)
		rc = directory_account(d, user, &account);
	if (rc == 0)
		rc = directory_leads_to(d, sender, account);
	if (rc == 0)
		return SMTP_ANSWER_ACCEPT;
	return rc == -ENOENT || rc == -E2BIG
		       ? MUTANT(SUBMIT_ODD_CODES) ? SMTP_ANSWER_BAD_SENDER : SMTP_ANSWER_NOT_PERMITTED
		       : SMTP_ANSWER_TRY_LATER;
}

void smtp_envelope_mail(struct smtp_session *s)
{
	const struct config_limits *limits = &s->server->config->limits;
	struct server *server = s->server;

	assert(s->message == NULL);
	if (server->unacknowledged_count >= limits->unacknowledged_count_max ||
	    server->unacknowledged_bytes >= limits->unacknowledged_bytes_max) {
		smtp_server_answer_mail(&s->core, SMTP_ANSWER_STORAGE_FULL);
		return;
	}
	if (!is_idna(s->core.reverse_path)) {
		smtp_server_answer_mail(&s->core, SMTP_ANSWER_BAD_SENDER);
		return;
	}
	enum smtp_answer may =
		MUTANT(SUBMIT_PARTIAL_DOMAIN) ? SMTP_ANSWER_ACCEPT : may_send_as(s, s->core.reverse_path);
	if (may != SMTP_ANSWER_ACCEPT) {
		log_event(LOG_INFO, "sender-refused", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
			  LOG_S("from", s->core.reverse_path));
		smtp_server_answer_mail(&s->core, may);
		return;
	}
	s->message = smtp_incoming_new(s);
	struct envelope *e = s->message->envelope;
	envelope_set_reverse_path(e, s->core.reverse_path);
	set_wishes(e, &s->core);
	if (s->profile->core.role == SMTP_ROLE_SUBMISSION)
		e->flags |= ENVELOPE_SUBMITTED;
	smtp_server_answer_mail(&s->core, SMTP_ANSWER_ACCEPT);
}

enum { RECIPIENT_OVERHEAD_BYTES = 160 }; /* of allocations, about */

struct adding {
	struct smtp_incoming *message;
	struct span original;
	struct span orcpt;
	uint8_t notify;
	bool full;
};

static void add_recipient(void *ctx, struct span address)
{
	struct adding *a = ctx;
	struct envelope *e = a->message->envelope;

	for (uint32_t i = 0; i < e->recipient_count; i++)
		if (span_eq(address, span_of(e->recipients[i].address)))
			return; /* one copy each, however often and through however many aliases it was named
				 */
	if (MUTANT(LIST_WITHOUT_SENDER) && span_eq(address, span_of(e->reverse_path)))
		return;
	if (MUTANT(ALIAS_AS_SENDER) && !span_eq(address, a->original))
		envelope_set_reverse_path(e, a->original);
	if (MUTANT(SMTP_DELIVERS_TWICE))
		(void)envelope_add_recipient(e, address, a->original);
	struct recipient *r = envelope_add_recipient(e, address, a->original);
	if (r == NULL) {
		a->full = true;
		return;
	}
	recipient_set_dsn(r, a->notify, a->orcpt);
	a->message->recipient_bytes +=
		sizeof(*r) + RECIPIENT_OVERHEAD_BYTES + address.n + a->original.n + a->orcpt.n;
}

static uint8_t notify_bits(unsigned said)
{
	return (uint8_t)(((said & SMTP_NOTIFY_NEVER) != 0 ? NOTIFY_NEVER : 0) |
			 ((said & SMTP_NOTIFY_SUCCESS) != 0 ? NOTIFY_SUCCESS : 0) |
			 ((said & SMTP_NOTIFY_FAILURE) != 0 ? NOTIFY_FAILURE : 0) |
			 ((said & SMTP_NOTIFY_DELAY) != 0 ? NOTIFY_DELAY : 0));
}

static enum smtp_answer answer_for_decision(enum accept_decision d)
{
	switch (d) {
	case ACCEPT_LOCAL:
	case ACCEPT_RELAY:
		return SMTP_ANSWER_ACCEPT;
	case ACCEPT_NO_SUCH_MAILBOX:
		return SMTP_ANSWER_NO_SUCH_MAILBOX;
	case ACCEPT_MAILBOX_DISABLED_NOW:
		return SMTP_ANSWER_MAILBOX_DISABLED;
	case ACCEPT_OVER_QUOTA:
		return SMTP_ANSWER_MAILBOX_FULL;
	case ACCEPT_RELAY_DENIED:
		return SMTP_ANSWER_RELAY_DENIED;
	case ACCEPT_TRY_LATER:
	case ACCEPT_DECISION_COUNT:
		break;
	}
	return SMTP_ANSWER_TRY_LATER;
}

/* A literal of the address that this client has connected to, whatever that is listened at by (RFC 5321 4.1.3). */
static bool is_own_address(const struct smtp_session *s, struct span domain)
{
	const struct addr *own = conn_local(s->conn);
	struct addr at;
	struct span ip;
	bool is_ipv6;
	char text[64];

	return address_literal_ip(domain, &ip, &is_ipv6) && span_copy(ip, text, sizeof(text)) &&
	       addr_parse(text, addr_port(own), &at) && addr_eq(&at, own);
}

static void log_refused(const struct smtp_session *s, enum accept_decision why)
{
	s->server->counters.recipients_refused++;
	log_event(LOG_INFO, "recipient-refused", LOG_I("session", s->id), LOG_C("peer", s->peer_ip),
		  LOG_S("rcpt", s->core.forward_path), LOG_C("why", accept_decision_name(why)));
}

static void log_too_large(const struct smtp_session *s)
{
	log_event(LOG_ERROR, "alias-too-large", LOG_I("session", s->id), LOG_S("rcpt", s->core.forward_path),
		  LOG_I("members_max", DIRECTORY_MEMBERS_MAX), LOG_I("depth_max", DIRECTORY_ALIAS_DEPTH_MAX));
}

/* The recipient becomes those whom the directory names for it: all of them, or nobody and the client keeps it. */
static enum smtp_answer take_recipient(struct smtp_session *s, struct address a)
{
	const struct directory *d = s->server->directory;
	struct adding adding = { .message = s->message,
				 .original = s->core.forward_path,
				 .orcpt = s->core.orcpt,
				 .notify = notify_bits(s->core.notify) };
	bool local = a.domain.n == 0 || directory_is_local_domain(d, a.domain);
	int rc = local ? directory_expand(d, a, add_recipient, &adding) : -ENOENT;
	bool lmtp = s->profile->core.role == SMTP_ROLE_LMTP;

	if (rc == -E2BIG) {
		log_too_large(s);
		return SMTP_ANSWER_ALIAS_TOO_LARGE;
	}
	enum accept_decision decision = accept_rcpt(&(struct accept_facts){
		.postmaster = local && !lmtp && address_is_postmaster(a),
		.domain_local = local,
		.mailbox = rc == 0         ? ACCEPT_MAILBOX_KNOWN
			   : rc == -ENOENT ? ACCEPT_MAILBOX_UNKNOWN
					   : ACCEPT_MAILBOX_LOOKUP_FAILED,
		.authenticated = s->core.authenticated,
		.relay_allowed = s->trusted && !lmtp,
		.submission = s->profile->core.role == SMTP_ROLE_SUBMISSION,
	});
	enum smtp_answer answer = answer_for_decision(decision);
	if (answer != SMTP_ANSWER_ACCEPT)
		log_refused(s, decision);
	else if (rc != 0) /* elsewhere; or postmaster of a server without accounts, kept in the queue */
		add_recipient(&adding, s->core.forward_path);
	return answer == SMTP_ANSWER_ACCEPT && adding.full ? SMTP_ANSWER_TOO_MANY_RCPT : answer;
}

/* Only where there are mutants. */
static void keep_recipient(struct envelope *e, bool first)
{
	static char kept[ADDRESS_TEXT_BYTES_MAX + 1];
	char last[sizeof(kept)];

	(void)span_copy(span_of(e->recipients[e->recipient_count - 1].address), last, sizeof(last));
	if (first && kept[0] != '\0')
		(void)envelope_add_recipient(e, span_of(kept), span_of(kept));
	memcpy(kept, last, sizeof(kept));
}

void smtp_envelope_rcpt(struct smtp_session *s)
{
	struct smtp_incoming *m = s->message;
	uint32_t count_before = m->envelope->recipient_count;
	size_t bytes_before = m->recipient_bytes;
	enum smtp_answer answer;
	struct address a;

	if (address_parse_text(s->core.forward_path, &a) != ADDRESS_OK) {
		smtp_server_answer_rcpt(&s->core, SMTP_ANSWER_NO_SUCH_MAILBOX);
		return;
	}
	if (!is_idna(s->core.forward_path)) {
		smtp_server_answer_rcpt(&s->core, SMTP_ANSWER_NO_SUCH_DOMAIN);
		return;
	}
	if ((is_own_address(s, a.domain) && !MUTANT(SMTP_NO_OWN_LITERAL)) ||
	    (MUTANT(SMTP_COMPLETES_NAMES) && span_find(a.domain, '.') == a.domain.n))
		a.domain = (struct span){ NULL, 0 };
	answer = take_recipient(s, a);
	if (answer != SMTP_ANSWER_ACCEPT) {
		envelope_keep_recipients(m->envelope, count_before);
		m->recipient_bytes = bytes_before;
	} else if (MUTANT(SMTP_KEEPS_RECIPIENTS)) {
		keep_recipient(m->envelope, count_before == 0);
	}
	smtp_server_answer_rcpt(&s->core, answer);
}
