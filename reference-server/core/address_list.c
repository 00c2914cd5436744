#include "reference-server/core/address_list.h"

#include "reference-server/core/mutant.h"

#include <assert.h>
#include <string.h>

enum lexer { BETWEEN, IN_ATOM, IN_QUOTED, IN_COMMENT, IN_LITERAL };

enum token {
	T_NONE,
	T_ATOM,
	T_QUOTED,
	T_LITERAL,
	T_DOT,
	T_AT,
	T_LT,
	T_GT,
	T_COMMA,
	T_COLON,
	T_SEMICOLON,
	T_END
};

/* Where in the grammar: what was read last. */
enum where {
	AT_START,     /* of an element */
	IN_WORDS,     /* of a local-part or a phrase, nobody knows yet */
	IN_ANGLE,     /* a local-part behind "<" */
	IN_DOMAIN,    /* of an address without brackets */
	ANGLE_DOMAIN, /* of one within them */
	AFTER_ADDRESS,
	AFTER_GROUP,
};

void address_list_init(struct address_list *a)
{
	assert(a != NULL);
	*a = (struct address_list){ .lexer = BETWEEN, .where = AT_START };
}

/* ---- grammar ---- */

static void begin_words(struct address_list *a, enum where where, enum token t)
{
	a->where = (uint8_t)where;
	a->last = (uint8_t)t;
	a->is_local_part = true;
}

static bool is_word(enum token t)
{
	return t == T_ATOM || t == T_QUOTED;
}

/* One more of a local-part or a phrase.  word *("." word) may be a local-part, all else is a phrase. */
static void add_word(struct address_list *a, enum token t)
{
	if (is_word(t) == is_word(a->last))
		a->is_local_part = false;
	a->last = (uint8_t)t;
}

static void begin_domain(struct address_list *a, enum where where)
{
	a->malformed |= !a->is_local_part || !is_word(a->last);
	a->where = (uint8_t)where;
	a->last = T_AT;
	a->labels = 0;
}

/* A label, a dot between two, or a literal alone. */
static void add_domain(struct address_list *a, enum token t)
{
	bool label_due = a->last == T_AT || a->last == T_DOT;

	if (t == T_DOT)
		a->malformed |= a->last != T_ATOM;
	else if (t == T_ATOM)
		a->malformed |= !label_due;
	else
		a->malformed |= t != T_LITERAL || a->last != T_AT;
	if (t == T_ATOM && a->labels < 2)
		a->labels++;
	a->last = (uint8_t)t;
}

static void end_domain(struct address_list *a)
{
	a->malformed |= a->last != T_ATOM && a->last != T_LITERAL;
	a->partial |= a->last == T_ATOM && a->labels == 1;
	a->addresses = 1;
}

/* What may stand behind an element, whole or left out. */
static void end_element(struct address_list *a, enum token t)
{
	if (t == T_COMMA) {
		a->where = AT_START;
	} else if (t == T_SEMICOLON && a->in_group) {
		a->in_group = false;
		a->where = AFTER_GROUP;
	} else {
		a->malformed |= t != T_END || a->in_group;
	}
}

static void at_start(struct address_list *a, enum token t)
{
	if (is_word(t))
		begin_words(a, IN_WORDS, t);
	else if (t == T_LT)
		begin_words(a, IN_ANGLE, T_NONE);
	else
		end_element(a, t);
}

static void in_words(struct address_list *a, enum token t)
{
	if (is_word(t) || t == T_DOT) {
		add_word(a, t);
	} else if (t == T_AT) {
		begin_domain(a, IN_DOMAIN);
	} else if (t == T_LT) {
		begin_words(a, IN_ANGLE, T_NONE);
	} else if (t == T_COLON && !a->in_group) {
		a->in_group = true;
		a->addresses = 1;
		a->where = AT_START;
	} else {
		a->malformed = true; /* also a name without a domain */
	}
}

static void in_angle(struct address_list *a, enum token t)
{
	if (is_word(t) || t == T_DOT)
		add_word(a, t);
	else if (t == T_AT)
		begin_domain(a, ANGLE_DOMAIN);
	else
		a->malformed = true;
}

static void take_token(struct address_list *a, enum token t)
{
	if (a->malformed)
		return;
	switch ((enum where)a->where) {
	case AT_START:
		at_start(a, t);
		return;
	case IN_WORDS:
		in_words(a, t);
		return;
	case IN_ANGLE:
		in_angle(a, t);
		return;
	case IN_DOMAIN:
		if (t == T_COMMA || t == T_SEMICOLON || t == T_END) {
			end_domain(a);
			end_element(a, t);
		} else {
			add_domain(a, t);
		}
		return;
	case ANGLE_DOMAIN:
		if (t == T_GT) {
			end_domain(a);
			a->where = AFTER_ADDRESS;
		} else {
			add_domain(a, t);
		}
		return;
	case AFTER_ADDRESS:
		end_element(a, t);
		return;
	case AFTER_GROUP:
		a->malformed |= t != T_COMMA && t != T_END;
		a->where = AT_START;
		return;
	}
}

/* ---- tokens ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_atext(char c)
{
	unsigned char u = (unsigned char)c;

	return u > ' ' && u != 127 && strchr("()<>[]:;@\\,.\"", c) == NULL;
}

static enum token special(char c)
{
	switch (c) {
	case '.':
		return T_DOT;
	case '@':
		return T_AT;
	case '<':
		return T_LT;
	case '>':
		return T_GT;
	case ',':
		return T_COMMA;
	case ':':
		return T_COLON;
	case ';':
		return T_SEMICOLON;
	default:
		return T_NONE;
	}
}

static void between(struct address_list *a, char c)
{
	if (is_blank(c))
		return;
	if (is_atext(c)) {
		a->lexer = IN_ATOM;
	} else if (c == '"') {
		a->lexer = IN_QUOTED;
	} else if (c == '[') {
		a->lexer = IN_LITERAL;
	} else if (c == '(' && !MUTANT(SUBMIT_NO_COMMENTS)) {
		a->lexer = IN_COMMENT;
		a->comment_depth = 1;
	} else if (special(c) != T_NONE) {
		take_token(a, special(c));
	} else {
		a->malformed = true;
	}
}

static void in_comment(struct address_list *a, char c)
{
	if (c == '(' && a->comment_depth == UINT8_MAX)
		a->malformed = true;
	else if (c == '(')
		a->comment_depth++;
	else if (c == ')' && --a->comment_depth == 0)
		a->lexer = BETWEEN;
}

/* Of what is escaped and enclosed, only the end matters. */
static void enclosed(struct address_list *a, char c)
{
	if (a->escaped) {
		a->escaped = false;
	} else if (c == '\\') {
		a->escaped = true;
	} else if (a->lexer == IN_COMMENT) {
		in_comment(a, c);
	} else if (c == (a->lexer == IN_QUOTED ? '"' : ']')) {
		take_token(a, a->lexer == IN_QUOTED ? T_QUOTED : T_LITERAL);
		a->lexer = BETWEEN;
	} else if (c == '[' && a->lexer == IN_LITERAL) {
		a->malformed = true;
	}
}

void address_list_feed(struct address_list *a, struct span piece)
{
	for (size_t i = 0; i < piece.n && !a->malformed; i++) {
		char c = piece.p[i];

		if (c == '\0') {
			a->malformed = true;
		} else if (a->lexer == IN_ATOM && !is_atext(c)) {
			a->lexer = BETWEEN;
			take_token(a, T_ATOM);
			between(a, c);
		} else if (a->lexer == BETWEEN) {
			between(a, c);
		} else if (a->lexer != IN_ATOM) {
			enclosed(a, c);
		}
	}
}

enum address_list_result address_list_end(struct address_list *a, bool may_be_empty)
{
	if (a->lexer == IN_ATOM)
		take_token(a, T_ATOM);
	else if (a->lexer != BETWEEN)
		a->malformed = true;
	take_token(a, T_END);
	if (a->malformed || (a->addresses == 0 && !may_be_empty))
		return ADDRESS_LIST_MALFORMED;
	return a->partial ? ADDRESS_LIST_PARTIAL : ADDRESS_LIST_OK;
}
