#include "harness/world/host_config.h"

#include "base/file.h"
#include "base/yaml.h"
#include "harness/scenario/template.h"
#include "harness/world/host_users.h"
#include "harness/world/world.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES_MAX = 1024 * 1024, RETRIES_MAX = 1000 };

/* Where a host in a private network sees its own directory, and its packages. */
static const char INNER_DIR[] = "/mnt";
static const char INNER_TREE[] = "/opt";

static bool is_private(const struct host_config *c)
{
	return c->setup->network_fd >= 0;
}

/* ---- variables ---- */

static void set_number(struct vars *v, const char *name, int64_t n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld", (long long)n);
	vars_set(v, name, text);
}

static void set_ip(struct vars *v, const char *name, const struct addr *at)
{
	char text[56];

	vars_set(v, name, addr_format_ip(at, text));
}

static void set_inner_path(struct vars *v, const char *name, const char *dir, const char *file)
{
	struct buf path = { 0 };

	buf_addf(&path, "%s/%s", dir, file);
	vars_set(v, name, buf_cstr(&path));
	buf_free(&path);
}

/* Whole seconds, at least what the target can do; the flow says them, or a short schedule that tests can wait for. */
static void set_retry(struct vars *v, const struct host_config *c)
{
	static const struct {
		const char *key;
		const char *name;
		int64_t usual_ms;
	} TIMES[] = { { "first", "retry.first.s", 1000 },
		      { "max", "retry.max.s", 5000 },
		      { "expire", "retry.expire.s", 3600 * 1000 } };
	const struct yaml_node *retry = yaml_get_map(c->setup->flow->settings, "retry");
	int64_t first_s = 1;

	for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++) {
		int64_t ms = TIMES[i].usual_ms;
		(void)yaml_get_duration_ms(retry, TIMES[i].key, 0, INT64_MAX / 2, &ms);
		if (ms < c->target->retry_min_ms)
			ms = c->target->retry_min_ms;
		int64_t s = (ms + 999) / 1000 > 0 ? (ms + 999) / 1000 : 1;
		set_number(v, TIMES[i].name, s);
		first_s = i == 0 ? s : first_s;
		if (i == 2) /* attempts after the first, when all wait for the shortest time */
			set_number(v, "retry.count", s / first_s < RETRIES_MAX ? s / first_s : RETRIES_MAX);
	}
}

/* Of what flows call notifications.delay and outbound.reply_timeout; empty when nobody says them. */
static void set_waits(struct vars *v, const struct yaml_node *settings)
{
	int64_t delay_ms = 0, timeout_ms = 0;

	(void)yaml_get_duration_ms(yaml_get_map(settings, "notifications"), "delay", 0, INT64_MAX / 2,
				   &delay_ms);
	(void)yaml_get_duration_ms(yaml_get_map(settings, "outbound"), "reply_timeout", 0, INT64_MAX / 2,
				   &timeout_ms);
	vars_set(v, "delay.s", "");
	vars_set(v, "reply-timeout.s", "");
	if (delay_ms > 0)
		set_number(v, "delay.s", (delay_ms + 999) / 1000);
	if (timeout_ms > 0)
		set_number(v, "reply-timeout.s", (timeout_ms + 999) / 1000);
}

/* From there the host relays for whoever comes; empty: from nowhere. */
static void set_relay_from(struct vars *v, const struct yaml_node *settings)
{
	const struct yaml_node *first = yaml_first(yaml_get_list(settings, "relay_from"));
	const char *address = "";

	if (first != NULL)
		(void)yaml_as_str(first, &address);
	vars_set(v, "relay-from", address);
}

static void set_lists(struct vars *v, const struct host_setup *s)
{
	const struct flow_host *h = s->flow;
	struct buf address = { 0 };

	for (uint32_t i = 0; i < h->account_count; i++) {
		buf_reset(&address);
		buf_addf(&address, "%s@%s", h->accounts[i].local_part, h->domains[0]);
		vars_set_item(v, "account", i, "account.address", buf_cstr(&address));
		vars_set_item(v, "account", i, "account.local", h->accounts[i].local_part);
		vars_set_item(v, "account", i, "account.password", s->passwords[i]);
	}
	for (uint32_t i = 0; i < h->list_count; i++) {
		buf_reset(&address);
		buf_addf(&address, "%s@%s", h->lists[i].local_part, h->domains[0]);
		vars_set_item(v, "list", i, "list.address", buf_cstr(&address));
		vars_set_item(v, "list", i, "list.members", h->lists[i].members);
	}
	for (uint32_t i = 0; i < h->lmtp_domain_count; i++)
		vars_set_item(v, "lmtp", i, "lmtp.domain", h->lmtp_domains[i]);
	for (uint32_t i = 0; i < h->domain_count; i++)
		vars_set_item(v, "domain", i, "domain.name", h->domains[i]);
	buf_free(&address);
}

static void set_paths(struct vars *v, const struct host_config *c)
{
	char tree[PATH_MAX] = "";
	const char *dir = is_private(c) ? INNER_DIR : c->setup->dir;

	(void)target_tree(c->target->tree, tree);
	vars_set(v, "dir", dir);
	vars_set(v, "tree", is_private(c) && tree[0] != '\0' ? INNER_TREE : tree);
	vars_set(v, "program", c->program);
	set_inner_path(v, "tls.cert", dir, "tls/cert.pem");
	set_inner_path(v, "tls.key", dir, "tls/key.pem");
	set_inner_path(v, "tls.ca", dir, "tls/ca.pem");
}

struct vars *host_config_vars(const struct host_config *c)
{
	const struct host_setup *s = c->setup;
	struct vars *v = vars_new();
	char name[32];

	set_paths(v, c);
	vars_set(v, "hostname", s->flow->mx_name);
	vars_set(v, "domain", s->flow->domains[0]);
	vars_set(v, "network", is_private(c) ? "private" : "loopback");
	set_ip(v, "ip", &s->address);
	for (uint32_t i = 0; i < FLOW_SERVICE_COUNT; i++) {
		(void)snprintf(name, sizeof(name), "port.%s", flow_service_name((enum flow_service)i));
		set_number(v, name, addr_port(&s->services[i]));
	}
	set_ip(v, "dns.ip", &s->dns);
	set_number(v, "dns.port", addr_port(&s->dns));
	set_number(v, "outbound.port", s->outbound_port);
	vars_set(v, "dns.anchor", "");
	if (s->anchor.n > 0)
		set_inner_path(v, "dns.anchor", is_private(c) ? INNER_DIR : s->dir, "dns/anchor");
	if (s->smart_host.n > 0) {
		set_ip(v, "smart-host.ip", &s->smart_host);
		set_number(v, "smart-host.port", addr_port(&s->smart_host));
	}
	vars_set(v, "login.name", WORLD_LOGIN_NAME);
	vars_set(v, "login.password", WORLD_LOGIN_PASSWORD);
	vars_set(v, "login.long-password", WORLD_LOGIN_LONG_PASSWORD);
	vars_set(v, "hardened", c->target->hardened ? "yes" : "");
	vars_set(v, "mta-sts", target_is_able(c->target, "mta-sts") ? "yes" : "");
	vars_set(v, "tls.out", s->flow->tls_out ? "yes" : "");
	set_retry(v, c);
	set_waits(v, s->flow->settings);
	set_relay_from(v, s->flow->settings);
	set_lists(v, s);
	return v;
}

/* ---- settings ---- */

/* Scalars stay text: the server reads numbers and times out of text. */
static json_t *to_json(const struct yaml_node *n)
{
	const char *text = "";
	json_t *j;

	switch (yaml_kind(n)) {
	case YAML_MAP:
		j = json_object();
		for (const struct yaml_node *i = yaml_first(n); i != NULL; i = yaml_next(i))
			(void)json_object_set_new(j, yaml_key(i), to_json(i));
		return j;
	case YAML_LIST:
		j = json_array();
		for (const struct yaml_node *i = yaml_first(n); i != NULL; i = yaml_next(i))
			(void)json_array_append_new(j, to_json(i));
		return j;
	case YAML_SCALAR:
		(void)yaml_as_str(n, &text);
		return json_string(text);
	case YAML_NULL:
		break;
	}
	return json_object();
}

/* JSON is YAML; the flow's settings win, at every depth. */
static int merge_settings(const struct flow_host *h, const char *path, struct buf *text, struct err *reterr)
{
	struct yaml *y = yaml_load(&(struct yaml_options){ .path = path, .text = buf_span(text) });
	int rc = 0;

	if (yaml_root(y) == NULL) {
		rc = err_set(reterr, -EINVAL, "%s", yaml_messages(y));
	} else {
		json_t *config = to_json(yaml_root(y));
		json_t *settings = to_json(h->settings);
		(void)json_object_update_recursive(config, settings);
		char *merged = json_dumps(config, JSON_INDENT(2));
		if (merged == NULL)
			abort();
		buf_reset(text);
		buf_add_cstr(text, merged);
		free(merged);
		json_decref(settings);
		json_decref(config);
	}
	yaml_free(y);
	return rc;
}

/* ---- files ---- */

static int own(const struct host_config *c, const char *path, const char *owner, mode_t mode,
	       struct err *reterr)
{
	uid_t uid;
	gid_t gid;

	if (owner != NULL && geteuid() == 0 && host_users_find(c->target, owner, &uid, &gid) &&
	    chown(path, uid, gid) != 0)
		return err_errno(reterr, errno, "%s: chown", path);
	if (chmod(path, mode) != 0)
		return err_errno(reterr, errno, "%s: chmod", path);
	return 0;
}

static int expand(const struct host_config *c, struct span text, const char *named, const char *list,
		  uint32_t item, struct buf *out, struct err *reterr)
{
	struct buf messages = { 0 };
	uint32_t mistakes = template_expand(&(struct template_options){ .path = named,
									.text = text,
									.vars = c->vars,
									.list = list,
									.item = item,
									.ret_text = out,
									.ret_messages = &messages });

	if (mistakes > 0)
		(void)err_set(reterr, -EINVAL, "%s", buf_cstr(&messages));
	buf_free(&messages);
	return mistakes > 0 ? -EINVAL : 0;
}

/* A path that the servers see, as we see it. */
static void outer_path(const struct host_config *c, const char *inner, struct buf *out)
{
	struct span rest = span_of(inner);
	char tree[PATH_MAX];

	if (is_private(c) && span_take_prefix_nocase(&rest, span_of(INNER_DIR)))
		buf_addf(out, "%s%.*s", c->setup->dir, SPAN_FMT(rest));
	else if (is_private(c) && span_take_prefix_nocase(&rest, span_of(INNER_TREE)) &&
		 target_tree(c->target->tree, tree))
		buf_addf(out, "%s%.*s", tree, SPAN_FMT(rest));
	else
		buf_add_cstr(out, inner);
}

static int read_content(const struct host_config *c, const struct target_file *f, uint32_t item,
			struct buf *out, struct err *reterr)
{
	struct buf raw = { 0 }, path = { 0 };
	int rc;

	if (f->text != NULL) {
		rc = expand(c, span_of(f->text), c->target->path, f->for_each, item, out, reterr);
	} else if (f->template != NULL) {
		rc = file_read(f->template, TEMPLATE_BYTES_MAX, &raw, reterr);
		if (rc == 0)
			rc = expand(c, buf_span(&raw), f->template, f->for_each, item, out, reterr);
	} else {
		rc = expand(c, span_of(f->copy), c->target->path, f->for_each, item, &raw, reterr);
		if (rc == 0) {
			outer_path(c, buf_cstr(&raw), &path);
			rc = file_read(buf_cstr(&path), COPY_BYTES_MAX, out, reterr);
		}
	}
	buf_free(&raw);
	buf_free(&path);
	return rc;
}

static int make_parent(const char *path, struct err *reterr)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (!span_copy((struct span){ path, (size_t)(slash - path) }, dir, sizeof(dir)))
		return err_set(reterr, -ENAMETOOLONG, "%s", path);
	return dir_make(dir, 0755, reterr);
}

static int write_file(const struct host_config *c, const struct target_file *f, uint32_t item,
		      struct err *reterr)
{
	struct buf path = { 0 }, content = { 0 };

	buf_addf(&path, "%s/", c->setup->dir);
	int rc = expand(c, span_of(f->path), c->target->path, f->for_each, item, &path, reterr);
	if (rc == 0)
		rc = read_content(c, f, item, &content, reterr);
	if (rc == 0 && f->takes_settings)
		rc = merge_settings(c->setup->flow, buf_cstr(&path), &content, reterr);
	if (rc == 0)
		rc = make_parent(buf_cstr(&path), reterr);
	if (rc == 0)
		rc = file_write(buf_cstr(&path), buf_span(&content), 0600, reterr);
	if (rc == 0)
		rc = own(c, buf_cstr(&path), f->owner, f->mode, reterr);
	buf_free(&content);
	buf_free(&path);
	return rc;
}

/* Where the run's authority put them, other users may not look. */
static int write_tls(const struct host_config *c, struct err *reterr)
{
	const char *const from[] = { c->setup->cert_path, c->setup->key_path, c->setup->ca_path };
	static const char *const NAMES[] = { "cert.pem", "key.pem", "ca.pem" };
	struct buf path = { 0 }, content = { 0 };
	int rc = 0;

	for (size_t i = 0; i < 3 && rc == 0; i++) {
		buf_reset(&path);
		buf_reset(&content);
		buf_addf(&path, "%s/tls/%s", c->setup->dir, NAMES[i]);
		rc = file_read(from[i], COPY_BYTES_MAX, &content, reterr);
		if (rc == 0)
			rc = make_parent(buf_cstr(&path), reterr);
		if (rc == 0)
			rc = file_write(buf_cstr(&path), buf_span(&content), i == 1 ? 0600 : 0644, reterr);
	}
	buf_free(&path);
	buf_free(&content);
	return rc;
}

static int write_anchor(const struct host_config *c, struct err *reterr)
{
	struct buf path = { 0 };
	int rc = 0;

	if (c->setup->anchor.n > 0) {
		buf_addf(&path, "%s/dns/anchor", c->setup->dir);
		rc = make_parent(buf_cstr(&path), reterr);
		if (rc == 0)
			rc = file_write(buf_cstr(&path), c->setup->anchor, 0644, reterr);
	}
	buf_free(&path);
	return rc;
}

static int write_dirs(const struct host_config *c, struct err *reterr)
{
	struct buf path = { 0 };
	int rc = 0;

	for (uint32_t i = 0; i < c->target->dir_count && rc == 0; i++) {
		const struct target_dir *d = &c->target->dirs[i];
		buf_reset(&path);
		buf_addf(&path, "%s/%s", c->setup->dir, d->path);
		rc = dir_make(buf_cstr(&path), 0755, reterr);
		if (rc == 0)
			rc = own(c, buf_cstr(&path), d->owner, d->mode, reterr);
	}
	buf_free(&path);
	return rc;
}

int host_config_write(const struct host_config *c, struct err *reterr)
{
	int rc = write_tls(c, reterr);

	if (rc == 0)
		rc = write_anchor(c, reterr);
	/* Servers of other users go in and out; the directory above is closed to everybody else. */
	if (rc == 0 && is_private(c) && chmod(c->setup->dir, 0755) != 0)
		rc = err_errno(reterr, errno, "%s", c->setup->dir);
	if (rc == 0)
		rc = write_dirs(c, reterr);
	for (uint32_t i = 0; i < c->target->file_count && rc == 0; i++) {
		const struct target_file *f = &c->target->files[i];
		uint32_t count = f->for_each != NULL ? vars_count(c->vars, span_of(f->for_each)) : 1;
		for (uint32_t k = 0; k < count && rc == 0; k++)
			rc = write_file(c, f, k, reterr);
	}
	if (rc == 0 && is_private(c))
		rc = host_users_write_etc(c->setup, c->target, reterr);
	return rc;
}

/* ---- launch ---- */

static char *expand_word(const struct host_config *c, const char *word)
{
	struct buf out = { 0 };
	struct err err;

	/* The target was checked when it was read: what is left cannot go wrong. */
	if (expand(c, span_of(word), c->target->path, NULL, 0, &out, &err) != 0)
		abort();
	char *copy = strdup(buf_cstr(&out));
	buf_free(&out);
	if (copy == NULL)
		abort();
	return copy;
}

char **host_config_args(const struct host_config *c, const struct target_command *command)
{
	char **args = calloc(command->count + 1, sizeof(*args));

	if (args == NULL)
		abort();
	for (uint32_t i = 0; i < command->count; i++)
		args[i] = expand_word(c, command->args[i]);
	return args;
}

void host_config_free_args(char **args)
{
	for (char **a = args; a != NULL && *a != NULL; a++)
		free(*a);
	free(args);
}

/* Colons separate layers and commas options, so both are escaped. */
static void add_layer(struct buf *layers, const char *dir, const char *below)
{
	if (buf_bytes(layers) > 0)
		buf_add_cstr(layers, ":");
	for (const char *part = dir; part != NULL; part = part == dir ? below : NULL)
		for (const char *p = part; *p != '\0'; p++)
			buf_addf(layers, "%s%c", *p == ':' || *p == ',' || *p == '\\' ? "\\" : "", *p);
}

static void add_overlay(struct launch *l, const char *first, const char *first_below, const char *tree,
			const char *at)
{
	struct buf layers = { 0 };
	char below[PATH_MAX];

	if (first != NULL)
		add_layer(&layers, first, first_below);
	(void)snprintf(below, sizeof(below), "%s%s", tree, at);
	if (tree[0] != '\0' && access(below, F_OK) == 0)
		add_layer(&layers, below, "");
	bool any = buf_bytes(&layers) > 0;
	add_layer(&layers, at, "");
	if (any)
		launch_add_mount(l, LAUNCH_OVERLAY, buf_cstr(&layers), at);
	buf_free(&layers);
}

/* Where /var/spool/smtpd does not exist and cannot be made, an empty /var/spool takes the place of the system's. */
static void add_mount_point(struct launch *l, const char *at)
{
	char parent[PATH_MAX];

	if (access(at, F_OK) == 0 || !span_copy(span_of(at), parent, sizeof(parent)))
		return;
	for (char *slash = strrchr(parent, '/'); slash != NULL && slash != parent;
	     slash = strrchr(parent, '/')) {
		*slash = '\0';
		if (access(parent, F_OK) == 0)
			break;
	}
	for (size_t i = 0; i < l->mount_count; i++)
		if (strcmp(l->mounts[i].at, parent) == 0)
			return;
	launch_add_mount(l, LAUNCH_TMPFS, "", parent);
}

static void add_mounts(const struct host_config *c, struct launch *l)
{
	char tree[PATH_MAX] = "";
	struct buf path = { 0 };

	bool have_tree = target_tree(c->target->tree, tree);
	/* Layers and sources lie where they lie in the system, so they come before what hides it. */
	add_overlay(l, NULL, NULL, tree, "/usr");
	add_overlay(l, c->setup->dir, "/etc-layer", tree, "/etc");
	launch_add_mount(l, LAUNCH_BIND, c->setup->dir, INNER_DIR);
	if (have_tree)
		launch_add_mount(l, LAUNCH_BIND, tree, INNER_TREE);
	launch_add_mount(l, LAUNCH_TMPFS, "", "/run");
	launch_add_mount(l, LAUNCH_PROC, "", "/proc");
	for (uint32_t i = 0; i < c->target->mount_count; i++)
		add_mount_point(l, c->target->mounts[i].at);
	for (uint32_t i = 0; i < c->target->mount_count; i++) {
		buf_reset(&path);
		buf_addf(&path, "%s/%s", INNER_DIR, c->target->mounts[i].dir);
		launch_add_mount(l, LAUNCH_BIND, buf_cstr(&path), c->target->mounts[i].at);
	}
	buf_free(&path);
}

void host_config_launch(const struct host_config *c, struct launch *l)
{
	const struct target *t = c->target;

	*l = (struct launch){ .network_fd = c->setup->network_fd };
	l->host_name = strdup(c->setup->flow->mx_name);
	l->dir = strdup(is_private(c) ? INNER_DIR : "");
	if (l->host_name == NULL || l->dir == NULL)
		abort();
	if (strlen(l->host_name) > 64) /* what the kernel takes */
		l->host_name[64] = '\0';
	if (is_private(c))
		add_mounts(c, l);
	for (uint32_t i = 0; i < t->prepare_count; i++)
		l->steps[l->step_count++] = host_config_args(c, &t->prepare[i]);
	for (uint32_t i = 0; i < t->server_count; i++)
		l->servers[l->server_count++] =
			(struct launch_server){ .args = host_config_args(c, &t->servers[i].run),
						.stop_signal = t->servers[i].stop_signal,
						.ends_by_signal = t->servers[i].ends_by_signal };
}
