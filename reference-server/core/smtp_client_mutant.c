#include "reference-server/core/mutant.h"
#include "reference-server/core/smtp_client_parts.h"

#ifdef MUTANTS

/* Mutants that say something in other words. */
static const struct {
	enum mutant mutant;
	struct span said, instead;
} WORDS[] = {
#define W(mutant, said, instead)                             \
	{                                                    \
		MUTANT_##mutant, { said, sizeof(said) - 1 }, \
		{                                            \
			instead, sizeof(instead) - 1         \
		}                                            \
	}
	W(RELAY_SHORT_NAME, "EHLO mx.sut.example", "EHLO mx"),
	W(RELAY_NAME_AND_MORE, "LO mx.sut.example", "LO mx.sut.example postriderd"),
	W(RELAY_EHLO_ENDS_IN_LF, "LO mx.sut.example\r\n", "LO mx.sut.example\n"),
	W(RELAY_NAME_NOT_ASCII, "LO mx", "LO m\xc3\xbcx"),
	W(RELAY_STARTTLS_GROUPED, "STARTTLS\r\n", "STARTTLS\r\nNOOP\r\n"),
	W(RELAY_OBSOLETE_VERB, "MAIL FROM:", "SAML FROM:"),
	W(RELAY_BLANK_BEHIND_COLON, "MAIL FROM:<", "MAIL FROM: <"),
	W(RELAY_MAKES_ROUTES, "MAIL FROM:<", "MAIL FROM:<@in.sut.example:"),
	W(RELAY_MAKES_ROUTES, "RCPT TO:<", "RCPT TO:<@mx.sut.example:"),
	W(RELAY_NULL_REPLACED, "MAIL FROM:<>", "MAIL FROM:<postmaster@mx.sut.example>"),
	W(RELAY_SENDER_IS_CLIENT, ">\r\nRCPT", "> AUTH=relay@mx.sut.example\r\nRCPT"),
	W(RELAY_SIZE_UNUSED, " SIZE=", " XSIZE="),
	W(RELAY_NUMBER_FORM, "@[", "@#"),
	W(RELAY_PATH_NOT_ASCII, "RCPT TO:<joe@",
	  "RCPT TO:<j\xc3\xb6"
	  "e@"),
	W(RELAY_NEVER_WITH_OTHERS, "NOTIFY=NEVER", "NOTIFY=NEVER,DELAY"),
	W(RELAY_PARAMETERS_TWICE, " SIZE=", " SIZE=1 SIZE="),
	W(RELAY_PARAMETERS_TWICE, " RET=", " RET=FULL RET="),
	W(RELAY_PARAMETERS_TWICE, " NOTIFY=", " NOTIFY=DELAY NOTIFY="),
	W(RELAY_XTEXT_DECODED, "+20", " "),
	W(RELAY_XTEXT_DECODED, "+2B", "+"),
	W(RELAY_XTEXT_DECODED, "+3D", "="),
	W(RELAY_XTEXT_DECODED, "\\x{3D}", "="),
	W(RELAY_XTEXT_DECODED, "\\x{2B}", "+"),
	W(RELAY_EMPTY_VALUES, " RET=", " RET= X="),
	W(RELAY_EMPTY_VALUES, " ENVID=", " ENVID= X="),
	W(RELAY_EMPTY_VALUES, " NOTIFY=", " NOTIFY= X="),
	W(RELAY_EMPTY_VALUES, " ORCPT=", " ORCPT= X="),
	W(RELAY_EMPTY_VALUES, " BY=", " BY= X="),
	W(RELAY_U_LABELS_ANYWAY, "xn--bcher-kva",
	  "b\xc3\xbc"
	  "cher"),
	W(RELAY_DATA_FOR_RSET, "RSET\r\n", "DATA\r\n"),
	W(RELAY_IDENTITY_NO_MAILBOX, ">\r\nRCPT", "> AUTH=relay\r\nRCPT"),
	W(RELAY_DSN_MADE_UP, ">\r\nRCPT", "> RET=HDRS ENVID=x\r\nRCPT"),
	W(RELAY_DSN_MADE_UP, ">\r\nDATA", "> NOTIFY=FAILURE ORCPT=rfc822;x@mx.sut.example\r\nDATA"),
	W(RELAY_SMTPUTF8_UNSAID, " SMTPUTF8", ""),
	W(RELAY_SMTPUTF8_NEEDLESS, ">\r\n", "> SMTPUTF8\r\n"),
	W(RELAY_PLUS_LOST, "+", "-"),
	W(RELAY_QUOTES_ALL, "RCPT TO:<joe@", "RCPT TO:<\"joe\"@"),
	W(RELAY_UNQUOTES, "\"", ""),
	W(RELAY_DATA_WITH_PARAMETER, "DATA\r\n", "DATA 1\r\n"),
	W(RELAY_BDAT_IN_HEX, "BDAT ", "BDAT 0x"),
#undef W
};

/* Of MAIL: in lower case, or left out. */
static void change_reverse_path(struct span line, struct buf *out)
{
	size_t end = span_find(line, '>');

	for (size_t i = 0; i < line.n; i++) {
		char b = line.p[i];
		bool within = i >= sizeof("MAIL FROM:<") - 1 && i < end;
		if (within && MUTANT(RELAY_SENDER_LEFT_OUT))
			continue;
		if (within && MUTANT(RELAY_LOWER_CASE_SENDER) && b >= 'A' && b <= 'Z')
			b = (char)(b - 'A' + 'a');
		buf_add(out, (struct span){ &b, 1 });
	}
}

static size_t find(struct span s, struct span what)
{
	for (size_t i = 0; i + what.n <= s.n; i++)
		if (span_eq(span_sub(s, i, what.n), what))
			return i;
	return s.n;
}

static void replace(struct span s, struct span said, struct span instead, struct buf *out)
{
	for (size_t at = find(s, said); at < s.n; at = find(s, said)) {
		buf_add(out, span_sub(s, 0, at));
		buf_add(out, instead);
		s = span_sub(s, at + said.n, s.n);
	}
	buf_add(out, s);
}

void smtpc_mutant_says(struct buf *out, size_t from)
{
	struct buf now = { 0 }, before = { 0 };

	buf_add(&before, span_sub(buf_span(out), from, buf_bytes(out)));
	if (span_starts_nocase(buf_span(&before), SPAN_LIT("MAIL FROM:<")))
		change_reverse_path(buf_span(&before), &now);
	else
		buf_add(&now, buf_span(&before));
	for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
		if (mutant_now != WORDS[i].mutant)
			continue;
		buf_reset(&before);
		buf_add(&before, buf_span(&now));
		buf_reset(&now);
		replace(buf_span(&before), WORDS[i].said, WORDS[i].instead, &now);
	}
	buf_truncate(out, from);
	buf_add(out, buf_span(&now));
	buf_free(&now);
	buf_free(&before);
}

/* Each CR or LF that stands alone becomes a line end. */
static void mend_line_ends(struct buf *out, size_t from)
{
	struct buf before = { 0 };

	buf_add(&before, span_sub(buf_span(out), from, buf_bytes(out)));
	buf_truncate(out, from);
	struct span s = buf_span(&before);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r'))
			buf_add(out, SPAN_LIT("\r"));
		buf_add(out, span_sub(s, i, 1));
		if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] != '\n')
			buf_add(out, SPAN_LIT("\n"));
	}
	buf_free(&before);
}

static void drop_nuls(struct buf *out, size_t from)
{
	char *to = out->p + out->begin + from;

	for (const char *p = to; p < out->p + out->end; p++)
		if (*p != '\0')
			*to++ = *p;
	buf_truncate(out, (size_t)(to - (out->p + out->begin)));
}

void smtpc_mutant_carries(struct buf *out, size_t from, bool chunked)
{
	if (MUTANT(RELAY_BLANKS_FOR_TABS))
		mutant_blanks_for_tabs(out, from);
	if (MUTANT(RELAY_CLEARS_HIGH_BITS))
		mutant_seven_bits(out, from);
	if (MUTANT(RELAY_CONTROLS_LOST))
		for (char *p = out->p + out->begin + from; p < out->p + out->end; p++)
			*p = (unsigned char)*p < ' ' && memchr("\t\r\n", *p, 3) == NULL ? '?' : *p;
	if (MUTANT(RELAY_NULS_LOST) && !chunked)
		drop_nuls(out, from);
	if (MUTANT(RELAY_MENDS_LINE_ENDS_LATE) && !chunked)
		mend_line_ends(out, from);
}

/* A refusal for good, whatever is being done. */
static uint16_t refusal(const struct smtp_client *c)
{
	return c->session == S_GREETING ? 521 : 550;
}

void smtpc_mutant_hears(struct smtp_client *c)
{
	struct smtp_reply *r = &c->reply;
	struct span text = smtp_reply_text(r);
	bool unknown = r->code % 100 == 59 || r->code % 100 == 99;

	if (MUTANT(RELAY_TEXT_DECIDES) && span_starts_nocase(text, SPAN_LIT("550")))
		r->code = refusal(c);
	if (MUTANT(RELAY_BARE_CODES_REFUSE) && text.n == 0)
		r->code = refusal(c);
	if (MUTANT(RELAY_LONG_REPLIES_REFUSE) && text.n > 300)
		r->code = refusal(c);
	if (MUTANT(RELAY_LINES_REFUSE) && r->line_count > 1 && c->session != S_EHLO)
		r->code = refusal(c);
	if (MUTANT(RELAY_UNKNOWN_CODES_TURNED) && unknown)
		r->code = r->code / 100 == 5 ? 450 : 550;
}

#endif
