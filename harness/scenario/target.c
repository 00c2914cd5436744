#include "harness/scenario/target.h"

#include "base/file.h"
#include "harness/scenario/template.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	NAME_BYTES_MAX = 32,
	MODE_MAX = 0777,
};

/* How a file comes to be read. */
enum part { PART_OWN, PART_VARIED, PART_WITH };

struct reader {
	struct target *t;
	struct yaml *y;
	const struct yaml_node *root;
	const struct target_options *o;
	uint32_t template_mistakes;
	enum part part;
	bool takes_over;
};

static const char *const SERVICES[] = { "smtp", "submission", "submissions", "pop3", "pop3s", "lmtp", NULL };

/* ---- helpers ---- */

static const char *keep(struct reader *r, struct span s)
{
	char *kept = yaml_alloc(r->y, s.n + 1);

	if (s.n > 0)
		memcpy(kept, s.p, s.n);
	return kept;
}

static bool is_plain_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= NAME_BYTES_MAX && s[0] != '-' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* Below the host's directory, and nowhere else. */
static bool is_inner_path(const char *s)
{
	return s[0] != '/' && s[0] != '\0' && strcmp(s, "..") != 0 && strncmp(s, "../", 3) != 0 &&
	       strstr(s, "/../") == NULL && !span_ends_nocase(span_of(s), SPAN_LIT("/.."));
}

static void read_path(struct reader *r, const struct yaml_node *map, const char *key, const char **ret_path)
{
	if (!yaml_require(map, key) || !yaml_get_str(map, key, ret_path))
		return;
	if (!is_inner_path(*ret_path))
		yaml_error(r->y, yaml_get(map, key),
			   "\"%s\" must be a path below the host's directory: no / at the start, no ..",
			   *ret_path);
}

static bool is_kept(const struct target_list *l, const char *item)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (strcmp(l->items[i], item) == 0)
			return true;
	return false;
}

static void read_list(struct reader *r, const struct yaml_node *map, const char *key, struct target_list *l)
{
	const struct yaml_node *list = yaml_get_list(map, key);

	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		const char *item;
		if (!yaml_as_str(n, &item) || is_kept(l, item))
			continue;
		if (l->count == TARGET_LIST_MAX) {
			yaml_error(r->y, n, "more than %d entries", TARGET_LIST_MAX);
			return;
		}
		l->items[l->count++] = item;
	}
}

static void read_services(struct reader *r, const struct yaml_node *map, const char *key, bool *services)
{
	const struct yaml_node *list = yaml_get_list(map, key);
	uint32_t service;

	(void)r;
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n))
		if (yaml_as_choice(n, SERVICES, &service))
			services[service] = true;
}

static void read_command(struct reader *r, const struct yaml_node *list, struct target_command *c)
{
	*c = (struct target_command){ 0 };
	if (list == NULL)
		return;
	if (yaml_kind(list) != YAML_LIST || yaml_child_count(list) == 0) {
		yaml_error(r->y, list, "a command is a list of words: [postfix, -c, /etc/postfix, check]");
		return;
	}
	if (yaml_child_count(list) > TARGET_ARGS_MAX) {
		yaml_error(r->y, list, "more than %d words", TARGET_ARGS_MAX);
		return;
	}
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n))
		if (yaml_as_str(n, &c->args[c->count]))
			c->count++;
}

/* Octal text, "0640". */
static void read_mode(struct reader *r, const struct yaml_node *map, mode_t *mode)
{
	const char *text;
	unsigned value = 0;

	if (!yaml_get_str(map, "mode", &text))
		return;
	size_t n = strspn(text, "01234567");
	for (size_t i = 0; i < n && i < 6; i++)
		value = value * 8 + (unsigned)(text[i] - '0');
	if (n < 3 || text[n] != '\0' || value > MODE_MAX)
		yaml_error(r->y, yaml_get(map, "mode"), "\"%s\" is no mode: 0600, 0755 and the like", text);
	else
		*mode = (mode_t)value;
}

/* ---- parts ---- */

static void read_dirs(struct reader *r)
{
	const struct yaml_node *list = yaml_get_list(r->root, "dirs");

	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		if (r->t->dir_count == TARGET_FILES_MAX) {
			yaml_error(r->y, n, "more than %d directories", TARGET_FILES_MAX);
			return;
		}
		struct target_dir *d = &r->t->dirs[r->t->dir_count++];
		*d = (struct target_dir){ .path = "", .mode = 0755 };
		if (yaml_kind(n) != YAML_MAP) {
			if (yaml_as_str(n, &d->path) && !is_inner_path(d->path))
				yaml_error(r->y, n, "\"%s\" must be a path below the host's directory",
					   d->path);
			continue;
		}
		read_path(r, n, "path", &d->path);
		(void)yaml_get_str(n, "owner", &d->owner);
		read_mode(r, n, &d->mode);
	}
}

/* NAME/template beside NAME.yaml; its own mistakes are among the target's. */
static void check_template(struct reader *r, const struct yaml_node *at, struct target_file *f,
			   const char *name)
{
	struct buf path = { 0 }, text = { 0 };
	struct err err;
	const char *slash = strrchr(r->o->path, '/');
	struct span dir = { r->o->path, slash != NULL ? (size_t)(slash - r->o->path) + 1 : 0 };

	buf_addf(&path, "%.*s%s/%s", SPAN_FMT(dir), r->t->name, name);
	f->template = keep(r, buf_span(&path));
	if (r->o->text.p == NULL && file_read(f->template, TEMPLATE_BYTES_MAX, &text, &err) != 0)
		yaml_error(r->y, at, "%s", err.text);
	else
		r->template_mistakes +=
			template_expand(&(struct template_options){ .path = f->template,
								    .text = buf_span(&text),
								    .list = f->for_each,
								    .ret_messages = r->o->ret_messages });
	buf_free(&text);
	buf_free(&path);
}

static void read_file(struct reader *r, const struct yaml_node *n, struct target_file *f)
{
	static const char *const LISTS[] = { "account", "domain", NULL };
	const char *template = NULL;
	uint32_t list;

	*f = (struct target_file){ .path = "", .mode = 0644 };
	read_path(r, n, "path", &f->path);
	if (yaml_get_choice(n, "for", LISTS, &list))
		f->for_each = LISTS[list];
	(void)yaml_get_str(n, "template", &template);
	(void)yaml_get_str(n, "text", &f->text);
	(void)yaml_get_str(n, "copy", &f->copy);
	(void)yaml_get_str(n, "owner", &f->owner);
	(void)yaml_get_bool(n, "takes-settings", &f->takes_settings);
	read_mode(r, n, &f->mode);
	if ((template != NULL) + (f->text != NULL) + (f->copy != NULL) != 1)
		yaml_error(r->y, n, "a file wants exactly one of template, text and copy");
	if (template != NULL && !is_inner_path(template))
		yaml_error(r->y, yaml_get(n, "template"),
			   "\"%s\" must be a path below the target's directory", template);
	else if (template != NULL)
		check_template(r, yaml_get(n, "template"), f, template);
}

static void read_files(struct reader *r)
{
	const struct yaml_node *list = yaml_get_list(r->root, "files");

	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		if (yaml_kind(n) != YAML_MAP)
			yaml_error(r->y, n,
				   "a file wants \"path\" and one of \"template\", \"text\", \"copy\"");
		else if (r->t->file_count == TARGET_FILES_MAX)
			yaml_error(r->y, n, "more than %d files", TARGET_FILES_MAX);
		else
			read_file(r, n, &r->t->files[r->t->file_count++]);
	}
}

static void read_mounts(struct reader *r)
{
	const struct yaml_node *map = yaml_get_map(r->root, "mounts");

	for (const struct yaml_node *n = yaml_first(map); n != NULL; n = yaml_next(n)) {
		const char *dir;
		if (!yaml_as_str(n, &dir))
			continue;
		if (r->t->mount_count == TARGET_LIST_MAX) {
			yaml_error(r->y, n, "more than %d mounts", TARGET_LIST_MAX);
			return;
		}
		if (yaml_key(n)[0] != '/' || strstr(yaml_key(n), "..") != NULL)
			yaml_error_at_key(r->y, n, "\"%s\" must be an absolute path", yaml_key(n));
		if (!is_inner_path(dir))
			yaml_error(r->y, n, "\"%s\" must be a path below the host's directory", dir);
		r->t->mounts[r->t->mount_count++] = (struct target_mount){ yaml_key(n), dir };
	}
}

static void read_prepare(struct reader *r)
{
	const struct yaml_node *list = yaml_get_list(r->root, "prepare");

	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		if (r->t->prepare_count == TARGET_LIST_MAX)
			yaml_error(r->y, n, "more than %d steps", TARGET_LIST_MAX);
		else
			read_command(r, n, &r->t->prepare[r->t->prepare_count++]);
	}
}

static void read_server(struct reader *r, const struct yaml_node *n, struct target_server *s)
{
	static const char *const SIGNALS[] = { "TERM", "INT", "QUIT", NULL };
	static const int NUMBERS[] = { SIGTERM, SIGINT, SIGQUIT };
	uint32_t signal = 0;

	*s = (struct target_server){ 0 };
	if (yaml_require(n, "run"))
		read_command(r, yaml_get(n, "run"), &s->run);
	(void)yaml_get_choice(n, "stop", SIGNALS, &signal);
	s->stop_signal = NUMBERS[signal];
	(void)yaml_get_bool(n, "ends-by-signal", &s->ends_by_signal);
}

static void read_servers(struct reader *r)
{
	const struct yaml_node *list = yaml_get_list(r->root, "servers");

	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		if (yaml_kind(n) != YAML_MAP)
			yaml_error(r->y, n, "a server wants at least \"run\"");
		else if (r->t->server_count == TARGET_LIST_MAX)
			yaml_error(r->y, n, "more than %d servers", TARGET_LIST_MAX);
		else
			read_server(r, n, &r->t->servers[r->t->server_count++]);
	}
}

static void read_ready(struct reader *r)
{
	const struct yaml_node *ready = yaml_get_map(r->root, "ready");

	(void)yaml_get_str(ready, "line", &r->t->ready_line);
	read_services(r, ready, "ports", r->t->ready_ports);
}

static void read_queue(struct reader *r)
{
	static const char *const COUNTS[] = { "lines", "number", NULL };
	const struct yaml_node *q = yaml_get_map(r->root, "queue");
	struct target_queue *queue = &r->t->queue;
	uint32_t count = 0;

	if (q == NULL)
		return;
	if (yaml_require(q, "run"))
		read_command(r, yaml_get(q, "run"), &queue->run);
	if (yaml_get(q, "names") != NULL)
		read_command(r, yaml_get(q, "names"), &queue->names);
	if (yaml_get_str(q, "after", &queue->after)) {
		queue->count = TARGET_COUNT_AFTER;
	} else if (yaml_get_choice(q, "count", COUNTS, &count)) {
		queue->count = (enum target_count)count;
	} else {
		yaml_error(r->y, q,
			   "say how to count: \"count: lines\", \"count: number\" or \"after: TEXT\"");
	}
}

static void read_flush(struct reader *r)
{
	const struct yaml_node *f = yaml_get_map(r->root, "flush");

	if (f == NULL)
		return;
	if (yaml_require(f, "run"))
		read_command(r, yaml_get(f, "run"), &r->t->flush);
	(void)yaml_get_duration_ms(f, "every", 100, 3600 * 1000, &r->t->flush_every_ms);
}

static void read_remote(struct reader *r)
{
	const struct yaml_node *n = yaml_get_map(r->root, "remote");
	const struct yaml_node *ports = yaml_get_map(n, "ports");
	struct target_remote *m = &r->t->remote;

	if (n == NULL)
		return;
	m->is = true;
	m->rate_per_s_max = 1;
	if (yaml_require(n, "host"))
		(void)yaml_get_str(n, "host", &m->host);
	for (uint32_t i = 0; i < FLOW_SERVICE_COUNT; i++) {
		uint32_t port = 0;
		if (yaml_get_u32(ports, SERVICES[i], 1, 65535, &port)) {
			m->ports[i] = (uint16_t)port;
			r->t->services[i] = true;
		}
	}
	if (yaml_child_count(ports) == 0)
		yaml_error(r->y, n, "\"ports\" must name at least one service and its port");
	read_list(r, n, "recipient-domains", &m->recipient_domains);
	if (m->recipient_domains.count == 0)
		yaml_error(r->y, n, "\"recipient-domains\" must name the domains that may get mail");
	(void)yaml_get_number(n, "rate-max", 0.001, 10, &m->rate_per_s_max);
	(void)yaml_get_str(n, "ca-file", &m->ca_file);
	(void)yaml_get_str(n, "password-file", &m->password_file);
	if (r->t->server_count + r->t->file_count + r->t->prepare_count > 0)
		yaml_error_at_key(r->y, n, "nothing is started or configured on a remote server");
}

static void read_next_hops(struct reader *r)
{
	enum { DAY_MS = 24 * 3600 * 1000, SETTLE_MS = 10 * 1000 };
	const struct yaml_node *n = yaml_get_map(r->root, "next-hops");
	const struct yaml_node *retry = yaml_get_map(n, "retry");
	struct target_relay *k = &r->t->relay;

	if (n == NULL)
		return;
	k->is = true;
	k->settle_ms = SETTLE_MS;
	if (retry != NULL && yaml_require(retry, "first") && yaml_require(retry, "max") &&
	    yaml_require(retry, "expire")) {
		(void)yaml_get_duration_ms(retry, "first", 1, DAY_MS, &k->first_ms);
		(void)yaml_get_duration_ms(retry, "max", 1, DAY_MS, &k->max_ms);
		(void)yaml_get_duration_ms(retry, "expire", 1, DAY_MS, &k->expire_ms);
	}
	(void)yaml_get_duration_ms(n, "delay", 1, DAY_MS, &k->delay_ms);
	(void)yaml_get_duration_ms(n, "reply-timeout", 1, DAY_MS, &k->reply_timeout_ms);
	(void)yaml_get_duration_ms(n, "settle", 1, DAY_MS, &k->settle_ms);
	read_list(r, n, "speaks", &k->speaks);
	if (r->t->remote.is)
		yaml_error_at_key(r->y, n, "nobody plays next hops for a remote server");
}

/* ---- the file ---- */

/* ${dir} and the like stay as they are until a host is made; any other name is a mistake with its place. */
static const char **identity_sets(struct yaml **ret_owner)
{
	const char *const *names = vars_names();
	struct yaml *owner = yaml_load(&(struct yaml_options){ .path = "", .text = SPAN_LIT("x: 1\n") });
	size_t count = 0;

	while (names[count] != NULL)
		count++;
	const char **sets = yaml_alloc(owner, (count + 1) * sizeof(*sets));
	for (size_t i = 0; i < count; i++) {
		struct buf set = { 0 };
		buf_addf(&set, "%s=${%s}", names[i], names[i]);
		char *kept = yaml_alloc(owner, buf_bytes(&set) + 1);
		memcpy(kept, buf_cstr(&set), buf_bytes(&set));
		sets[i] = kept;
		buf_free(&set);
	}
	*ret_owner = owner;
	return sets;
}

static uint32_t read_into(struct target *t, const struct target_options *o, enum part part);

static uint32_t read_part(struct reader *r, const char *key, const char *name, enum part part)
{
	const struct yaml_node *at = yaml_get(r->root, key);
	char path[PATH_MAX];
	struct target_options inner = *r->o;

	if (r->part >= part) {
		yaml_error(r->y, at, "what is taken over by \"%s\" takes over nothing of that kind itself",
			   key);
		return 0;
	}
	if (r->o->text.p != NULL)
		return 0;
	if (!target_find(name, path, sizeof(path))) {
		yaml_error(r->y, at, "there is no target \"%s\"", name);
		return 0;
	}
	inner.path = path;
	return read_into(r->t, &inner, part);
}

/* A variant runs the packages of what it varies, unless it has more of its own: then all lie together in its own tree. */
static void settle_tree(struct reader *r, uint32_t taken_over)
{
	if (r->part == PART_OWN && r->t->packages.count + r->t->npm.count > taken_over)
		r->t->tree = NULL;
}

/* What comes first, for the file's own lists go on behind it. */
static uint32_t read_taken_over(struct reader *r)
{
	const char *with = NULL, *varied = NULL;
	uint32_t mistakes = 0;

	(void)yaml_get_str(r->root, "variant-of", &varied);
	(void)yaml_get_str(r->root, "with", &with);
	r->takes_over = varied != NULL || with != NULL;
	if (varied != NULL && with != NULL)
		yaml_error(r->y, yaml_get(r->root, "with"), "\"with\" comes from the target that is varied");
	else if (varied != NULL)
		mistakes = read_part(r, "variant-of", varied, PART_VARIED);
	else if (with != NULL)
		mistakes = read_part(r, "with", with, PART_WITH);
	if (r->part != PART_WITH && with != NULL)
		r->t->with = with;
	if (r->part == PART_OWN)
		r->t->tree = varied;
	return mistakes;
}

static void check_name(struct reader *r)
{
	const char *slash = strrchr(r->o->path, '/');
	struct span file = span_of(slash != NULL ? slash + 1 : r->o->path);

	if (!is_plain_name(r->t->name))
		yaml_error(r->y, yaml_get(r->root, "target"),
			   "\"%s\" is no target name: lower-case letters, digits and hyphens make one",
			   r->t->name);
	else if (span_ends_nocase(file, SPAN_LIT(".yaml")) &&
		 !span_eq(span_sub(file, 0, file.n - 5), span_of(r->t->name)))
		yaml_error(r->y, yaml_get(r->root, "target"),
			   "the file is called %.*s, so the target would not be found as \"%s\"",
			   SPAN_FMT(file), r->t->name);
}

static void read_key(struct reader *r)
{
	static const char *const KINDS[] = { "p-256", "rsa", NULL };
	uint32_t kind = 0;

	if (yaml_get_choice(r->root, "tls-key", KINDS, &kind))
		r->t->rsa_key = kind == 1;
}

/* What a target takes over is served by programs that are not its own; so is what it says itself. */
static void read_own_services(struct reader *r)
{
	struct target *t = r->t;
	bool own[FLOW_SERVICE_COUNT] = { 0 }, borrowed[FLOW_SERVICE_COUNT] = { 0 };

	read_services(r, r->root, "services", own);
	read_services(r, r->root, "borrowed", borrowed);
	for (uint32_t i = 0; i < FLOW_SERVICE_COUNT; i++) {
		if (own[i])
			t->borrowed[i] = r->part == PART_WITH || borrowed[i];
		else if (borrowed[i])
			yaml_error(r->y, yaml_get(r->root, "borrowed"), "\"%s\" is not among the services",
				   SERVICES[i]);
		t->services[i] = t->services[i] || own[i];
	}
}

static void read_words(struct reader *r)
{
	struct target *t = r->t;

	read_list(r, r->root, "packages", &t->packages);
	if (r->part == PART_WITH)
		t->borrowed_package_count = t->packages.count;
	read_list(r, r->root, "npm", &t->npm);
	read_list(r, r->root, "programs", &t->programs);
	read_list(r, r->root, "users", &t->users);
	read_list(r, r->root, "groups", &t->groups);
	read_list(r, r->root, "roles", &t->roles);
	read_list(r, r->root, "capabilities", &t->capabilities);
	read_list(r, r->root, "settings", &t->settings);
	read_list(r, r->root, "logs", &t->logs);
	read_own_services(r);
	(void)yaml_get_u32(r->root, "cases-at-once", 1, 1000, &t->cases_at_once);
	(void)yaml_get_str(r->root, "program", &t->program);
	(void)yaml_get_bool(r->root, "loopback", &t->on_loopback);
	(void)yaml_get_bool(r->root, "needs-root", &t->needs_root);
	(void)yaml_get_bool(r->root, "hardened", &t->hardened);
	read_key(r);
	(void)yaml_get_duration_ms(r->root, "retry-min", 1, 3600 * 1000, &t->retry_min_ms);
}

static void read_all(struct reader *r)
{
	read_words(r);
	read_dirs(r);
	read_files(r);
	read_mounts(r);
	read_prepare(r);
	read_servers(r);
	read_ready(r);
	read_queue(r);
	read_flush(r);
	read_remote(r);
	read_next_hops(r);
}

static void check_whole(struct reader *r)
{
	struct target *t = r->t;
	bool ready = t->ready_line != NULL;

	for (uint32_t i = 0; i < FLOW_SERVICE_COUNT; i++)
		ready = ready || t->ready_ports[i];
	if (!t->remote.is && t->server_count == 0)
		yaml_error(r->y, NULL, "key \"servers\" is missing: what is to be started");
	if (!t->remote.is && !ready)
		yaml_error(r->y, NULL, "key \"ready\" is missing: a line, or ports that greet");
}

/* How many mistakes. */
static uint32_t read_into(struct target *t, const struct target_options *o, enum part part)
{
	struct yaml *owner;
	const char **sets = identity_sets(&owner);
	struct yaml *y = yaml_load(&(struct yaml_options){ .path = o->path, .text = o->text, .sets = sets });
	struct reader r = { .t = t, .y = y, .root = yaml_root(y), .o = o, .part = part };
	uint32_t inner = 0;

	t->yaml[t->yaml_count++] = y;
	if (r.root != NULL) {
		inner = read_taken_over(&r);
		uint32_t taken_over = t->packages.count + t->npm.count;
		t->name = t->title = "";
		if (yaml_require(r.root, "target") && yaml_get_str(r.root, "target", &t->name))
			check_name(&r);
		if (yaml_require(r.root, "title"))
			(void)yaml_get_str(r.root, "title", &t->title);
		read_all(&r);
		settle_tree(&r, taken_over);
		if (part == PART_OWN && (o->text.p == NULL || !r.takes_over))
			check_whole(&r);
		yaml_finish(y);
	}
	yaml_free(owner);
	buf_add_cstr(o->ret_messages, yaml_messages(y));
	return yaml_error_count(y) + r.template_mistakes + inner;
}

struct target *target_read(const struct target_options *o)
{
	struct target *t = calloc(1, sizeof(*t));

	if (t == NULL)
		abort();
	uint32_t count = read_into(t, o, PART_OWN);
	t->path = yaml_path(t->yaml[0]);
	if (t->tree == NULL)
		t->tree = t->name;
	if (o->ret_error_count != NULL)
		*o->ret_error_count = count;
	if (count == 0)
		return t;
	target_free(t);
	return NULL;
}

bool target_is_able(const struct target *t, const char *capability)
{
	return is_kept(&t->capabilities, capability);
}

void target_free(struct target *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->yaml_count; i++)
		yaml_free(t->yaml[i]);
	free(t);
}

struct target *target_load(const char *name, struct buf *ret_messages)
{
	char path[PATH_MAX];

	if (!target_find(name, path, sizeof(path))) {
		buf_addf(ret_messages, "there is no target \"%s\"; 'postrider targets' names them\n", name);
		return NULL;
	}
	return target_read(&(struct target_options){ .path = path, .ret_messages = ret_messages });
}
