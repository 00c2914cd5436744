#include "harness/world/target.h"

#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- reference: postriderd ---- */

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

static json_t *domains_json(const struct flow_host *h)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < h->domain_count; i++)
		(void)json_array_append_new(list, json_string(h->domains[i]));
	return list;
}

static json_t *listen_json(const struct host_setup *s)
{
	json_t *map = json_object();
	char text[56];

	for (uint32_t i = 0; i < FLOW_SERVICE_COUNT; i++)
		(void)json_object_set_new(map, flow_service_name((enum flow_service)i),
					  json_string(addr_format(&s->services[i], text)));
	return map;
}

/* The server takes passwords from files only, so that no configuration holds one. */
static int accounts_json(const struct host_setup *s, json_t *ret_list, struct err *reterr)
{
	const struct flow_host *h = s->flow;
	char path[PATH_MAX];

	for (uint32_t i = 0; i < h->account_count; i++) {
		const char *local = h->accounts[i].local_part;
		(void)snprintf(path, sizeof(path), "%s/password.%s", s->dir, local);
		int rc = file_write(path, span_of(s->passwords[i]), 0600, reterr);
		if (rc != 0)
			return rc;
		json_t *address = json_sprintf("%s@%s", local, h->domains[0]);
		(void)json_array_append_new(
			ret_list, json_pack("{s:o, s:s}", "address", address, "password_file", path));
	}
	return 0;
}

static json_t *outbound_json(const struct host_setup *s)
{
	char text[56];
	json_t *map = json_pack("{s:i, s:s, s:s}", "port", (int)s->outbound_port, "bind",
				addr_format_ip(&s->address, text), "tls", s->flow->tls_out ? "may" : "none");

	if (s->smart_host.n > 0)
		(void)json_object_set_new(map, "smart_host", json_string(addr_format(&s->smart_host, text)));
	return map;
}

static json_t *reference_json(const struct host_setup *s)
{
	char text[56];
	json_t *config = json_object();

	(void)json_object_set_new(config, "hostname", json_string(s->flow->mx_name));
	(void)json_object_set_new(config, "data", json_sprintf("%s/data", s->dir));
	(void)json_object_set_new(config, "domains", domains_json(s->flow));
	(void)json_object_set_new(config, "listen", listen_json(s));
	(void)json_object_set_new(config, "tls",
				  json_pack("{s:s, s:s}", "certificate", s->cert_path, "key", s->key_path));
	(void)json_object_set_new(
		config, "dns",
		json_pack("{s:o, s:s}", "forwarder",
			  json_sprintf("%s@%u", addr_format_ip(&s->dns, text), (unsigned)addr_port(&s->dns)),
			  "timeout", "2s"));
	(void)json_object_set_new(config, "outbound", outbound_json(s));
	return config;
}

/* JSON is YAML, and jansson merges the flow's settings into it at every depth. */
static int reference_configure(const struct host_setup *s, struct err *reterr)
{
	char path[PATH_MAX];
	json_t *config = reference_json(s);
	json_t *accounts = json_array();
	json_t *settings = to_json(s->flow->settings);
	int rc = accounts_json(s, accounts, reterr);

	(void)json_object_set_new(config, "accounts", accounts);
	(void)json_object_update_recursive(config, settings);
	char *text = json_dumps(config, JSON_INDENT(2));
	if (text == NULL)
		abort();
	(void)snprintf(path, sizeof(path), "%s/postriderd.conf", s->dir);
	if (rc == 0)
		rc = file_write(path, span_of(text), 0600, reterr);
	free(text);
	json_decref(settings);
	json_decref(config);
	return rc;
}

static void reference_args(const struct host_setup *s, const char *program, const char *args[TARGET_ARGS_MAX],
			   struct buf *scratch)
{
	buf_addf(scratch, "%s/postriderd.conf", s->dir);
	args[0] = program;
	args[1] = "serve";
	args[2] = "--config";
	args[3] = buf_cstr(scratch);
	args[4] = NULL;
}

static bool reference_line_says_ready(struct span line)
{
	return span_eq(line, SPAN_LIT("ready"));
}

static const struct target TARGETS[] = {
	{ "reference", reference_configure, reference_args, reference_line_says_ready, "postriderd",
	  SIGTERM },
};

const struct target *target_find(const char *name)
{
	for (size_t i = 0; i < sizeof(TARGETS) / sizeof(TARGETS[0]); i++)
		if (strcmp(TARGETS[i].name, name) == 0)
			return &TARGETS[i];
	return NULL;
}
