/*
 * yaml: reads a configuration or scenario file and collects every mistake in
 * it, so that a person fixes them all at once.
 *
 * A struct yaml is one file: its tree, its strings and its error list; nodes
 * and strings borrowed from it live until yaml_free.  Loading never fails as
 * a call: a file that cannot be read or parsed has no root and one error.
 * The reader that follows asks for what it knows; getters leave *ret alone
 * (the caller's default stands) when the key is absent, and note an error when
 * it is there but wrong.  Keys nobody asked for are errors too (yaml_finish).
 * Nothing here prints or exits.
 *
 * Every message has the form
 *
 *   flows/x.flow.yaml:12:9: error: unknown key "retyr"; did you mean "retry"?
 *      12 |         retyr: 3s
 *         |         ^~~~~
 *
 * The YAML is a subset on purpose: no aliases, no tags, no merge keys, string
 * keys only, one document.  Scalars are text until a getter reads them, so
 * quoting never changes a meaning.  In scalar values (not in keys) ${name} is
 * replaced by the value given for it, ${name:-default} has a default, and $${
 * stands for a plain "${".
 *
 * Limits: 1 MiB of text, 50 levels, 4096 keys in a mapping, 100 messages kept
 * (the rest are counted).
 *
 *   struct yaml *y = yaml_load(&(struct yaml_options){ .path = path });
 *   const struct yaml_node *root = yaml_root(y);
 *   yaml_get_duration_ms(root, "timeout", 1, DAY_MS, &config.timeout_ms);
 *   const struct yaml_node *listen = yaml_get_map(root, "listen");  // NULL is a fine argument everywhere
 *   yaml_get_str(listen, "main", &config.main_address);
 *   yaml_finish(y);
 *   if (yaml_error_count(y) > 0) { fputs(yaml_messages(y), stderr); … }
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/buf.h"
#include "base/span.h"

struct yaml;
struct yaml_node;

struct yaml_options {
	const char *path;        /* named in messages; read unless text is given */
	struct span text;        /* p != NULL: the content; copied */
	const char *const *sets; /* "name=value" strings, NULL-terminated; NULL: none */
};

struct yaml *yaml_load(const struct yaml_options *o);
void yaml_free(struct yaml *y); /* accepts NULL */

/* The top mapping, or NULL after an error. */
const struct yaml_node *yaml_root(const struct yaml *y);
const char *yaml_path(const struct yaml *y);

/* Zeroed memory that lives as long as y, for what is read out of it. */
void *yaml_alloc(struct yaml *y, size_t bytes);

/* Whether the file names ${name}: a --set that no file uses is a mistake the caller reports. */
bool yaml_uses(const struct yaml *y, const char *name);

/* ---- mistakes ---- */
/* Notes an error at node; NULL means the file as a whole.  The same place and text twice is kept once. */
void yaml_error(struct yaml *y, const struct yaml_node *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* As yaml_error, at the key of a mapping's value instead of the value. */
void yaml_error_at_key(struct yaml *y, const struct yaml_node *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Notes each key of each mapping that was looked into and that nobody asked for. */
void yaml_finish(struct yaml *y);
uint32_t yaml_error_count(const struct yaml *y);
/* All messages in the order of the file; borrowed, valid until the next error. */
const char *yaml_messages(struct yaml *y);

/* ---- walking ---- */
enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_LIST, YAML_MAP };
enum yaml_kind yaml_kind(const struct yaml_node *n); /* of NULL: YAML_NULL */
/* Children of a list or mapping in file order; all keys count as asked for.  NULL has none. */
const struct yaml_node *yaml_first(const struct yaml_node *n);
const struct yaml_node *yaml_next(const struct yaml_node *n);
uint32_t yaml_child_count(const struct yaml_node *n);
/* The key of a child of a mapping; NULL for others. */
const char *yaml_key(const struct yaml_node *n);
uint32_t yaml_line(const struct yaml_node *n);   /* from 1 */
uint32_t yaml_column(const struct yaml_node *n); /* from 1 */

/* ---- values by key; all accept map NULL, return whether *ret was written ---- */
/* key must be a literal or outlive y: it is remembered for suggestions. */
const struct yaml_node *yaml_get(const struct yaml_node *map,
				 const char *key); /* any kind, NULL when absent */
/* NULL when absent; an error is noted when it is of another kind.  An empty value counts as an empty one. */
const struct yaml_node *yaml_get_map(const struct yaml_node *map, const char *key);
const struct yaml_node *yaml_get_list(const struct yaml_node *map, const char *key);
/* Notes an error, at map, when key is absent. */
bool yaml_require(const struct yaml_node *map, const char *key);

bool yaml_get_str(const struct yaml_node *map, const char *key, const char **ret_str);
bool yaml_get_bool(const struct yaml_node *map, const char *key, bool *ret_bool); /* true false yes no */
bool yaml_get_u32(const struct yaml_node *map, const char *key, uint32_t min, uint32_t max,
		  uint32_t *ret_value);
bool yaml_get_u64(const struct yaml_node *map, const char *key, uint64_t min, uint64_t max,
		  uint64_t *ret_value);
bool yaml_get_number(const struct yaml_node *map, const char *key, double min, double max, double *ret_value);
bool yaml_get_duration_ms(const struct yaml_node *map, const char *key, int64_t min_ms, int64_t max_ms,
			  int64_t *ret_ms);
bool yaml_get_size_bytes(const struct yaml_node *map, const char *key, uint64_t min_bytes, uint64_t max_bytes,
			 uint64_t *ret_bytes);
/* One of names (NULL-terminated); *ret_index is its index. */
bool yaml_get_choice(const struct yaml_node *map, const char *key, const char *const *names,
		     uint32_t *ret_index);

/* ---- the same for a node, for list items ---- */
bool yaml_as_str(const struct yaml_node *n, const char **ret_str);
bool yaml_as_bool(const struct yaml_node *n, bool *ret_bool);
bool yaml_as_u32(const struct yaml_node *n, uint32_t min, uint32_t max, uint32_t *ret_value);
bool yaml_as_u64(const struct yaml_node *n, uint64_t min, uint64_t max, uint64_t *ret_value);
bool yaml_as_number(const struct yaml_node *n, double min, double max, double *ret_value);
bool yaml_as_duration_ms(const struct yaml_node *n, int64_t min_ms, int64_t max_ms, int64_t *ret_ms);
bool yaml_as_size_bytes(const struct yaml_node *n, uint64_t min_bytes, uint64_t max_bytes,
			uint64_t *ret_bytes);
bool yaml_as_choice(const struct yaml_node *n, const char *const *names, uint32_t *ret_index);

#endif
