/*
 * address: paths and mailboxes as SMTP commands carry them (RFC 5321 4.1.2,
 * 4.1.3; limits 4.5.3.1.1 to 4.5.3.1.3).
 *
 * A struct address borrows from the text it was parsed from and keeps the
 * parts as they were written: the local-part with its quotes, the domain in
 * its own case, an address literal with its brackets.  Source routes are
 * accepted, checked and left out.  Three kinds need no extra flag:
 *
 *	local.n == 0                    the null reverse-path <>
 *	local.n > 0, domain.n == 0      <postmaster> without a domain
 *	both                            a mailbox
 *
 * Two text forms.  The *text* keeps the case and uses as little quoting as
 * possible (RFC 5321 4.1.2): it is what goes into queues, headers and to the
 * next hop.  The *key* is unquoted and in lower case: it is what our own
 * accounts, aliases and domains are looked up by, because we treat their
 * local-parts as case-insensitive (RFC 5321 2.4 leaves that to the final
 * host).  A key's domain begins after its last '@'.
 *
 * Local-parts and domains may hold UTF-8 (RFC 6531 3.3), well-formed only.
 * That a name's labels are U-labels is for others to find out, because it takes
 * tables (RFC 5890).  Lower case here is that of ASCII.  address_is_ascii()
 * says whether the address needs SMTPUTF8; a syntax error in a text with
 * bytes above 127 is told apart from others, because where SMTPUTF8 was not
 * asked for its reply differs (550 and 553 5.6.7, RFC 6531 3.5).
 */
#ifndef SERVER_CORE_ADDRESS_H
#define SERVER_CORE_ADDRESS_H

#include "base/buf.h"
#include "base/span.h"

enum {
	ADDRESS_LOCAL_BYTES_MAX = 64,   /* as written, quotes included */
	ADDRESS_DOMAIN_BYTES_MAX = 255, /* brackets of a literal included */
	ADDRESS_LABEL_BYTES_MAX = 63,   /* RFC 1035 2.3.4; of one in ASCII */
	ADDRESS_PATH_BYTES_MAX = 256,   /* with '<', '>' and any source route */
	/* The longest text or key: local-part, '@', domain. */
	ADDRESS_TEXT_BYTES_MAX = ADDRESS_LOCAL_BYTES_MAX + 1 + ADDRESS_DOMAIN_BYTES_MAX,
};

enum address_result {
	ADDRESS_OK,
	ADDRESS_SYNTAX,
	ADDRESS_SYNTAX_8BIT, /* the same, in a text that is not all ASCII */
	ADDRESS_LOCAL_TOO_LONG,
	ADDRESS_DOMAIN_TOO_LONG,
	ADDRESS_PATH_TOO_LONG,
};

struct address {
	struct span local;  /* as written, quoted or not */
	struct span domain; /* name, or address literal with its brackets */
};

/*
 * Cut "<...>" off the front of *text and leave the rest (parameters) there.
 * *text and *ret_address are untouched unless the result is ADDRESS_OK.  A
 * reverse-path may be <>; a forward-path may be <postmaster>, in any case.
 */
enum address_result address_take_reverse_path(struct span *text, struct address *ret_address);
enum address_result address_take_forward_path(struct span *text, struct address *ret_address);

/* The whole span is local-part@domain, without angle brackets. */
enum address_result address_parse_mailbox(struct span text, struct address *ret_address);

/* Reads back what address_text() wrote: a mailbox, "postmaster" alone, or nothing at all (null path). */
enum address_result address_parse_text(struct span text, struct address *ret_address);

/* The whole span is a Domain in ASCII / an address-literal, by RFC 5321 4.1.2 and 4.1.3. */
bool address_is_domain(struct span text);
bool address_is_literal(struct span text);

/*
 * The address inside an IPv4 or IPv6 literal ("[IPv6:::1]" gives "::1");
 * false for anything else.  *ret_ip borrows from literal.
 */
bool address_literal_ip(struct span literal, struct span *ret_ip, bool *ret_is_ipv6);

/* Both write without a NUL and return the part of dst that was written. */
struct span address_text(struct address a, char dst[ADDRESS_TEXT_BYTES_MAX]);
struct span address_key(struct address a, char dst[ADDRESS_TEXT_BYTES_MAX]);

void address_add_text(struct buf *out, struct address a);
void address_add_key(struct buf *out, struct address a);

/* RFC 5321 2.4: local-parts equal once unquoted, case kept; domains equal without case. */
bool address_eq(struct address a, struct address b);

/* The rule for our own accounts: both without case. */
bool address_eq_nocase(struct address a, struct address b);

bool address_is_ascii(struct address a);

/* <postmaster> without a domain, or the local-part postmaster at any domain (RFC 5321 4.5.1). */
bool address_is_postmaster(struct address a);

#endif
