/*
 * directory: who is local.  Answers from the configuration (domains, aliases)
 * and the account table of the store.
 *
 * Keys are account_key() form: unquoted, lower case, the domain as A-labels.
 * postmaster of every local domain always exists (RFC 5321 4.5.1): when no account
 * or alias has the name it goes to the first configured account.  Aliases are
 * followed up to DIRECTORY_ALIAS_DEPTH_MAX deep, and to DIRECTORY_MEMBERS_MAX
 * addresses; nobody behind an alias is left out: one that leads further is
 * refused as a whole.
 *
 * An address without domain, or at an address literal of ours (RFC 5321 4.1.3), is
 * one of our first domain.  Ours are the addresses we listen at.
 *
 * Subaddresses: sales+anything is sales, unless an alias or an account has that
 * very name; the separator is a setting.
 */
#ifndef SERVER_DRIVE_DIRECTORY_H
#define SERVER_DRIVE_DIRECTORY_H

#include "base/span.h"
#include "reference-server/config.h"
#include "reference-server/core/address.h"
#include "reference-server/store/store.h"

enum {
	DIRECTORY_ALIAS_DEPTH_MAX = 10,
	DIRECTORY_MEMBERS_MAX = 1000, /* final addresses behind one alias */
};

struct directory;

/* Borrows both; a reload makes a new one. */
struct directory *directory_new(const struct config *config, struct store *store);
void directory_free(struct directory *d);

bool directory_is_local_domain(const struct directory *d, struct span domain);

/* With our first domain, where it has none, or a literal of ours. */
struct address directory_full(const struct directory *d, struct address a);
bool directory_is_alias(const struct directory *d, struct address a);

/*
 * The account that receives mail for this address without alias: 0 and its id,
 * or -ENOENT.  Any other error is the store's, which cannot say: nobody may be
 * refused or returned for it.
 */
int directory_account(const struct directory *d, struct address a, uint32_t *ret_account);

/*
 * Calls fn with each final address (text form) behind `a`, a itself when it is
 * an account or not local.  A local member of an alias that has no account is
 * among them, as long as another one leads somewhere: its copy comes back to
 * the sender.  fn, which may be NULL, is called for all of them when the result is 0.
 * -ENOENT: a local address that leads nowhere.  -E2BIG: an alias that leads to
 * more, or deeper, than the limits (451 4.3.5).  Other errors as above.
 */
typedef void directory_fn(void *ctx, struct span address_text);
int directory_expand(const struct directory *d, struct address a, directory_fn *fn, void *ctx);

/*
 * 0 when mail for this address comes to that account (directory_account), by itself or through aliases;
 * -ENOENT when it does not; other errors as of directory_expand.
 */
int directory_leads_to(const struct directory *d, struct address a, uint32_t account);

#endif
