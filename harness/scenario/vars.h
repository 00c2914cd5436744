/*
 * vars: named values for templates and commands of a target, and lists of
 * such values ("account", "domain", "list"), whose items a template goes through.
 *
 * Everything is copied.  A name that was never set has no value; which names
 * may be asked for at all is said by vars_is_name.
 */
#ifndef HARNESS_SCENARIO_VARS_H
#define HARNESS_SCENARIO_VARS_H

#include "base/span.h"

struct vars;

struct vars *vars_new(void);
void vars_free(struct vars *v); /* accepts NULL */

/* Sets or replaces. */
void vars_set(struct vars *v, const char *name, const char *value);
/* A value of one item of a list; items count from 0 and are set in order. */
void vars_set_item(struct vars *v, const char *list, uint32_t item, const char *name, const char *value);

/* NULL when there is none. */
const char *vars_get(const struct vars *v, struct span name);
const char *vars_get_item(const struct vars *v, struct span list, uint32_t item, struct span name);
uint32_t vars_count(const struct vars *v, struct span list);

/* ---- what a target may name; docs/targets.md has them all ---- */
bool vars_is_name(struct span name);
bool vars_is_list(struct span list);
/* "account.password" is one of list "account", and has a value in its loop only. */
bool vars_is_item_name(struct span list, struct span name);
/* All names, NULL-terminated: those of lists too. */
const char *const *vars_names(void);

#endif
