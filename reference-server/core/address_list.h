/*
 * address_list: is the value of an address field (From, To, Cc, …) a list of
 * addresses as RFC 5322 3.4 has it, and are its domains fully qualified?
 *
 * Takes the value in pieces as they come, folds included, keeps no text and
 * judges strictly, for a submission server may refuse what nobody could
 * answer (RFC 6409 4.2, 5.1): an address without a domain, a null path, a
 * source route and a phrase with an "@" that nobody quoted are malformed.
 * Of obsolete syntax (RFC 5322 4.4) it takes what changes no address: blanks
 * and comments around dots, periods in phrases, empty elements of a list.
 * Octets above 127 are taken wherever an atom can stand; whether they may be
 * there is another question.
 *
 * A domain of one label is PARTIAL; an address literal is not looked into.
 *
 * Split invariance: the same octets in any pieces give the same result.
 */
#ifndef SERVER_CORE_ADDRESS_LIST_H
#define SERVER_CORE_ADDRESS_LIST_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum address_list_result {
	ADDRESS_LIST_OK,
	ADDRESS_LIST_PARTIAL,   /* each is an address, but a domain has one label only */
	ADDRESS_LIST_MALFORMED, /* also: comments nested more than 255 deep */
};

/* A value.  Written here only. */
struct address_list {
	uint8_t lexer;
	uint8_t comment_depth;
	bool escaped;
	uint8_t where;
	uint8_t last; /* token of a local-part, a phrase or a domain */
	bool is_local_part;
	bool in_group;
	bool partial;
	bool malformed;
	uint32_t labels;    /* of the domain that is read, no more than two are counted */
	uint32_t addresses; /* and groups; no more than one is counted */
};

void address_list_init(struct address_list *a);
void address_list_feed(struct address_list *a, struct span piece);
/* The value ends here.  may_be_empty: no address is one, too (Bcc). */
enum address_list_result address_list_end(struct address_list *a, bool may_be_empty);

#endif
