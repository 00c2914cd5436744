#include "reference-server/drive/smtp_session_parts.h"

#include "reference-server/drive/directory.h"

#include <errno.h>
#include <stdlib.h>

/* Texts one behind the other; spans are made when all are there. */
struct members {
	struct buf text;
	struct span *spans;
	uint32_t count;
};

static void add_member(void *ctx, struct span address)
{
	struct members *m = ctx;

	m->spans = realloc(m->spans, (m->count + 1) * sizeof(*m->spans));
	if (m->spans == NULL)
		abort();
	m->spans[m->count++] = (struct span){ NULL, address.n };
	buf_add(&m->text, address);
}

static void answer_members(struct smtp_session *s, struct members *m)
{
	size_t at = 0;

	for (uint32_t i = 0; i < m->count; i++) {
		m->spans[i] = span_sub(buf_span(&m->text), at, m->spans[i].n);
		at += m->spans[i].n;
	}
	smtp_server_answer_verify(&s->core, SMTP_VERIFY_FOUND, m->spans, m->count);
}

static enum smtp_verify look_up(const struct smtp_session *s, struct address a, struct members *ret_members)
{
	const struct directory *d = s->server->directory;
	bool expands = s->core.verify_expands;
	char text[ADDRESS_TEXT_BYTES_MAX];

	if (a.domain.n > 0 && !directory_is_local_domain(d, a.domain))
		return SMTP_VERIFY_ELSEWHERE;
	switch (a.local.n > 0 ? directory_expand(d, a, expands ? add_member : NULL, ret_members) : -ENOENT) {
	case 0:
		break;
	case -ENOENT:
		return SMTP_VERIFY_NONE;
	case -E2BIG:
		return SMTP_VERIFY_ELSEWHERE;
	default:
		return SMTP_VERIFY_TRY_LATER;
	}
	if (expands && !directory_is_alias(d, a))
		return SMTP_VERIFY_NOT_A_LIST;
	if (!expands)
		add_member(ret_members, address_text(directory_full(d, a), text));
	return SMTP_VERIFY_FOUND;
}

void smtp_verify(struct smtp_session *s)
{
	struct address a = { .local = s->core.forward_path };
	struct members members = { .count = 0 };

	if (!s->core.verify_bare && address_parse_text(s->core.forward_path, &a) != ADDRESS_OK)
		a.local.n = 0;
	enum smtp_verify found = look_up(s, a, &members);
	if (found == SMTP_VERIFY_FOUND)
		answer_members(s, &members);
	else
		smtp_server_answer_verify(&s->core, found, NULL, 0);
	free(members.spans);
	buf_free(&members.text);
}
