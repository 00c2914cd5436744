#include "reference-server/core/mutant.h"
#include "reference-server/core/smtp_server_parts.h"

#ifdef MUTANTS

/* Mutants that answer a verb with one line whatever it is about. */
static const struct {
	enum mutant mutant;
	const char *verb, *line;
} ANSWERS[] = {
	{ MUTANT_SMTP_NO_TEXT, "NOOP", "250 " },
	{ MUTANT_SMTP_NO_BLANK, "NOOP", "250" },
	{ MUTANT_SMTP_NO_EHLO, "EHLO", "500 5.5.2 command not recognized" },
	{ MUTANT_SMTP_NO_VRFY, "VRFY", "500 5.5.2 command not recognized" },
	{ MUTANT_SMTP_NO_VRFY, "EXPN", "500 5.5.2 command not recognized" },
	{ MUTANT_SMTP_LISTED_502, "HELP", "502 5.5.1 command not implemented" },
	{ MUTANT_SMTP_LISTED_502, "BDAT", "502 5.5.1 command not implemented" },
	{ MUTANT_SMTP_LISTED_502, "STARTTLS", "502 5.5.1 command not implemented" },
	{ MUTANT_SMTP_ETRN_UNLISTED, "ETRN", "250 2.0.0 ok" },
	{ MUTANT_SMTP_SEND_UNLISTED, "SEND", "250 2.0.0 ok" },
	{ MUTANT_SMTP_SEND_UNLISTED, "TURN", "250 2.0.0 ok" },
	{ MUTANT_SMTP_VRFY_550, "VRFY", "550 5.1.1 no such mailbox" },
	{ MUTANT_SMTP_VRFY_BARE, "VRFY", "250 2.1.5 somebody" },
	{ MUTANT_SMTP_VRFY_ROUTE, "VRFY", "250 2.1.5 <@a.example:somebody@b.example>" },
	{ MUTANT_SMTP_ODD_CODES, "FOOBAR", "599 5.5.2 command not recognized" },
	{ MUTANT_SMTP_ODD_CODE_CLASS, "FOOBAR", "600 5.5.2 command not recognized" },
	{ MUTANT_SMTP_ZERO_STATUS, "FOOBAR", "500 5.05.2 command not recognized" },
	{ MUTANT_SMTP_OWN_STATUS, "FOOBAR", "500 5.5.99 command not recognized" },
};

static void say(struct smtp_server *s, const char *line)
{
	s->output.emit(s->output.ctx, span_of(line));
	s->output.emit(s->output.ctx, SPAN_LIT("\r\n"));
}

bool smtps_mutant_answers(struct smtp_server *s, struct span command_line)
{
	struct span verb = span_sub(command_line, 0, span_find(command_line, ' '));

	for (size_t i = 0; i < sizeof(ANSWERS) / sizeof(ANSWERS[0]); i++) {
		if (mutant_now != ANSWERS[i].mutant || !span_eq_nocase(verb, span_of(ANSWERS[i].verb)))
			continue;
		say(s, ANSWERS[i].line);
		return true;
	}
	for (size_t i = 0; i < command_line.n && MUTANT(SMTP_CONTROLS_TAKEN); i++) {
		if ((unsigned char)command_line.p[i] >= ' ' && command_line.p[i] != 127)
			continue;
		say(s, "250 2.0.0 ok");
		return true;
	}
	if (!MUTANT(SMTP_STATUS_AFTER_EHLO) || s->esmtp || !span_eq_nocase(verb, SPAN_LIT("NOOP")))
		return false;
	say(s, "250 ok");
	return true;
}

bool smtps_mutant_greets(struct smtp_server *s)
{
	s->refused = MUTANT(SMTP_REFUSES_AND_CLOSES) || MUTANT(SMTP_REFUSES_WITH_521);
	if (s->refused)
		say(s, MUTANT(SMTP_REFUSES_WITH_521) ? "521 no mail ever" : "554 no mail today");
	else if (MUTANT(SMTP_ODD_GREETING))
		say(s, "220 mx_1 ready");
	return s->refused || MUTANT(SMTP_ODD_GREETING);
}

#endif
