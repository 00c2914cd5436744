#include "reference-server/core/pop3_server_parts.h"

#include "reference-server/core/mutant.h"

#include <assert.h>

void pop3_on_quit(struct pop3_server *s, struct span argument)
{
	(void)argument;
	if (s->deleted_count > 0 && !MUTANT(POP3_QUIT_FORGETS)) {
		assert(s->state == POP3_STATE_TRANSACTION);
		pop3_enter(s, POP3_STATE_UPDATE);
		s->wish = POP3_WISH_UPDATE;
		return;
	}
	pop3_reply(s, "+OK bye");
	if (!MUTANT(POP3_QUIT_STAYS))
		pop3_enter(s, POP3_STATE_CLOSED);
}

static unsigned long long left_octets(const struct pop3_server *s)
{
	return s->total_octets - s->deleted_octets;
}

static uint32_t left_count(const struct pop3_server *s)
{
	return s->message_count - (MUTANT(POP3_COUNTS_DELETED) ? 0 : s->deleted_count);
}

void pop3_on_stat(struct pop3_server *s, struct span argument)
{
	(void)argument;
	buf_addf(s->out, "+OK %u %llu%s\r\n", left_count(s), left_octets(s),
		 MUTANT(POP3_STAT_SAYS_MORE) ? " octets" : "");
}

/* NULL, and replied, when the text names no message that is still there. */
static struct pop3_message *find_message(struct pop3_server *s, struct span text)
{
	uint64_t number;

	if (MUTANT(POP3_ANY_STATE) && s->state != POP3_STATE_TRANSACTION) {
		pop3_reply(s, "+OK");
		return NULL;
	}
	if (!span_to_u64(text, &number)) {
		pop3_reply_error(s, MUTANT(POP3_NO_ARGUMENT) ? "+OK" : "-ERR not a message number");
		return NULL;
	}
	if (number == 0 || number > s->message_count ||
	    (s->messages[number - 1].deleted && !MUTANT(POP3_DELETED_STAYS))) {
		pop3_reply(s, MUTANT(POP3_MISSING_OK) ? "+OK" : "-ERR no such message");
		return NULL;
	}
	return &s->messages[number - 1];
}

static unsigned number_of(const struct pop3_server *s, const struct pop3_message *m)
{
	return (unsigned)(m - s->messages) + 1;
}

static void add_scan_line(struct pop3_server *s, const struct pop3_message *m)
{
	buf_addf(s->out, MUTANT(POP3_HEX_OCTETS) ? "%u 0x%llx%s\r\n" : "%u %llu%s\r\n",
		 number_of(s, m) - MUTANT(POP3_FROM_ZERO),
		 (unsigned long long)m->octets + MUTANT(POP3_WRONG_OCTETS),
		 MUTANT(POP3_LIST_SAYS_MORE) ? " octets" : "");
}

static void add_uidl_line(struct pop3_server *s, const struct pop3_message *m)
{
	buf_addf(s->out, "%u ", number_of(s, m));
	if (MUTANT(POP3_UID_BY_NUMBER))
		buf_addf(s->out, "%u", number_of(s, m));
	else
		buf_add(s->out, MUTANT(POP3_SAME_UID) ? s->messages[0].uidl : m->uidl);
	if (MUTANT(POP3_LONG_UID))
		buf_addf(s->out, "%060u", 0u);
	buf_add_cstr(s->out, MUTANT(POP3_UIDL_SAYS_MORE) ? " new\r\n" : "\r\n");
}

/* LIST and UIDL: one message, or all that are left. */
static void list(struct pop3_server *s, struct span argument,
		 void (*add_line)(struct pop3_server *s, const struct pop3_message *m))
{
	if (argument.n > 0) {
		const struct pop3_message *m = find_message(s, argument);
		if (m == NULL)
			return;
		buf_add_cstr(s->out, "+OK ");
		add_line(s, m);
		return;
	}
	if (MUTANT(POP3_EMPTY_REFUSED) && add_line == add_scan_line && left_count(s) == 0) {
		pop3_reply(s, "-ERR nothing is here");
		return;
	}
	buf_addf(s->out, "+OK %u messages (%llu octets)\r\n", left_count(s), left_octets(s));
	for (uint32_t i = 0; i < s->message_count; i++)
		if (!s->messages[i].deleted)
			add_line(s, &s->messages[i]);
	pop3_reply(s, MUTANT(POP3_LIST_NO_DOT) ? "" : ".");
}

void pop3_on_list(struct pop3_server *s, struct span argument)
{
	list(s, argument, add_scan_line);
}

void pop3_on_uidl(struct pop3_server *s, struct span argument)
{
	list(s, argument, add_uidl_line);
}

static void retrieve(struct pop3_server *s, const struct pop3_message *m)
{
	s->wanted_index = (uint32_t)(m - s->messages);
	s->content_begun = false;
	s->top_in_body = false;
	s->top_line_empty = true;
	s->utf8_left = 0;
	stuffing_init(&s->stuffing);
	s->wish = POP3_WISH_RETRIEVE;
}

void pop3_on_retr(struct pop3_server *s, struct span argument)
{
	const struct pop3_message *m = find_message(s, argument);

	if (m == NULL)
		return;
	s->wanted_top = false;
	retrieve(s, m);
}

void pop3_on_top(struct pop3_server *s, struct span argument)
{
	struct span number, lines = argument;
	uint64_t line_count;
	const struct pop3_message *m;

	if (!span_take_until(&lines, ' ', &number) || !span_to_u64(lines, &line_count)) {
		pop3_reply_error(s, MUTANT(POP3_NO_ARGUMENT)
					    ? "+OK"
					    : "-ERR TOP needs a message number and a number of lines");
		return;
	}
	m = find_message(s, number);
	if (m == NULL)
		return;
	s->wanted_top = !MUTANT(POP3_TOP_WHOLE);
	s->top_lines = line_count - (MUTANT(POP3_TOP_SHORT) && line_count > 0);
	retrieve(s, m);
}

void pop3_mark(struct pop3_server *s, struct pop3_message *m)
{
	m->deleted = true;
	s->deleted_count++;
	s->deleted_octets += m->octets;
}

void pop3_on_dele(struct pop3_server *s, struct span argument)
{
	struct pop3_message *m = find_message(s, argument);

	if (m == NULL)
		return;
	if (!MUTANT(POP3_DELE_FORGETS))
		pop3_mark(s, m);
	pop3_reply(s, "+OK");
}

void pop3_on_noop(struct pop3_server *s, struct span argument)
{
	(void)argument;
	pop3_reply(s, MUTANT(POP3_SYS_WITH_OK) ? "+OK [SYS/TEMP]" : "+OK");
}

void pop3_on_rset(struct pop3_server *s, struct span argument)
{
	for (uint32_t i = 0; i < s->message_count; i++)
		s->messages[i].deleted = MUTANT(POP3_RSET_KEEPS) && s->messages[i].deleted;
	s->deleted_count = MUTANT(POP3_RSET_KEEPS) ? s->deleted_count : 0;
	s->deleted_octets = 0;
	pop3_on_noop(s, argument);
}

void pop3_server_opened(struct pop3_server *s, struct pop3_message *messages, uint32_t count)
{
	assert(s->wish == POP3_WISH_OPEN);
	assert(count == 0 || messages != NULL);
	s->messages = messages;
	s->message_count = count;
	s->total_octets = 0;
	for (uint32_t i = 0; i < count; i++)
		s->total_octets += messages[i].octets;
	s->wish = POP3_WISH_INPUT;
	pop3_enter(s, POP3_STATE_TRANSACTION);
	buf_addf(s->out, "+OK %u messages (%llu octets)\r\n", count, left_octets(s));
}

void pop3_server_open_failed(struct pop3_server *s, enum pop3_open_failure why)
{
	static const char *const lines[POP3_OPEN_FAILURE_COUNT] = {
		[POP3_OPEN_IN_USE] = "-ERR [IN-USE] another session has the mailbox",
		[POP3_OPEN_TOO_SOON] = "-ERR [LOGIN-DELAY] too soon after the last login",
		[POP3_OPEN_TEMPORARY] = "-ERR [SYS/TEMP] cannot open the mailbox now",
		[POP3_OPEN_PERMANENT] = "-ERR [SYS/PERM] cannot open the mailbox",
	};
	assert(s->wish == POP3_WISH_OPEN);
	assert(why < POP3_OPEN_FAILURE_COUNT);
	s->wish = POP3_WISH_INPUT;
	pop3_enter(s, POP3_STATE_AUTHORIZATION);
	s->user.n = 0;
	pop3_reply(s, MUTANT(POP3_DELAY_NO_CODE)    ? "-ERR no"
		      : MUTANT(POP3_IN_USE_AS_AUTH) ? "-ERR [AUTH] in use"
						    : lines[why]);
}

void pop3_server_updated(struct pop3_server *s, bool all_removed)
{
	assert(s->wish == POP3_WISH_UPDATE);
	pop3_reply(s, all_removed ? "+OK bye" : "-ERR [SYS/TEMP] some deleted messages not removed");
	pop3_enter(s, POP3_STATE_CLOSED);
}
