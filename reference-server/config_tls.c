#include "reference-server/config_tls.h"

#include "base/must.h"
#include "reference-server/config_parts.h"
#include "reference-server/core/address.h"
#include "reference-server/core/base64.h"

#include <stdlib.h>
#include <string.h>

static const char *const policies[] = { "none", "may", "require", "verify", NULL };

static char *lower_copy(const char *s)
{
	char *p = must(strdup(s));
	for (char *c = p; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	return p;
}

/* "sha256/" and the hash in base64. */
static bool parse_pin(struct span text, uint8_t ret_pin[TLS_POLICY_PIN_BYTES])
{
	struct buf hash = { 0 };
	bool ok = span_take_prefix_nocase(&text, SPAN_LIT("sha256/")) && base64_decode(&hash, text) &&
		  buf_bytes(&hash) == TLS_POLICY_PIN_BYTES;

	if (ok)
		memcpy(ret_pin, buf_span(&hash).p, TLS_POLICY_PIN_BYTES);
	buf_free(&hash);
	return ok;
}

static void read_pins(struct tls_rule *r, struct yaml *y, const struct yaml_node *map)
{
	const struct yaml_node *list = yaml_get_list(map, "pins");

	r->pins = must(calloc(yaml_child_count(list) + 1, TLS_POLICY_PIN_BYTES));
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		const char *s = NULL;
		uint8_t *pin = r->pins + (size_t)r->pin_count * TLS_POLICY_PIN_BYTES;
		r->pin_count++;
		if (yaml_as_str(n, &s) && !parse_pin(span_of(s), pin))
			yaml_error(
				y, n,
				"\"%s\" is not sha256/ and the base64 of 32 bytes, the hash of a public key",
				s);
	}
}

static void read_mx(struct tls_rule *r, struct yaml *y, const struct yaml_node *map)
{
	const struct yaml_node *list = yaml_get_list(map, "mx");

	r->mx = must(calloc(yaml_child_count(list) + 1, sizeof(*r->mx)));
	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		const char *s = NULL;
		if (!yaml_as_str(n, &s))
			continue;
		r->mx[r->mx_count++] = lower_copy(s);
		if (!tls_mx_pattern_is_valid(span_of(s)))
			yaml_error(y, n, "\"%s\" is neither a host name nor *. and a domain", s);
	}
}

/* RFC 8461 3.2, without what only matters to those who fetch it. */
static void read_mode(struct tls_rule *r, struct yaml *y, const struct yaml_node *map)
{
	static const char *const modes[] = { "enforce", "testing", "none", NULL };
	enum { ENFORCE, TESTING, NONE };
	uint32_t mode = ENFORCE;

	(void)yaml_require(map, "mode");
	(void)yaml_get_choice(map, "mode", modes, &mode);
	read_mx(r, y, map);
	read_pins(r, y, map);
	if (mode == NONE) {
		r->mx_count = r->pin_count = 0; /* as if it were not there */
		return;
	}
	if (r->mx_count == 0)
		yaml_error(y, map, "a policy that is not of mode none lists the mx that are acceptable");
	r->testing = mode == TESTING;
	if (mode == ENFORCE)
		r->policy = TLS_POLICY_VERIFY;
}

static void read_rule(struct config_outbound *o, struct yaml *y, const struct yaml_node *n)
{
	const char *key = yaml_key(n);
	struct tls_rule *r = &o->tls_rules[o->tls_rule_count++];
	uint32_t policy = o->tls;

	r->domain = config_domain_key(key);
	r->policy = o->tls;
	struct span name = span_of(r->domain);
	if (name.n > 0 && name.p[0] == '.')
		name = span_sub(name, 1, name.n);
	if (!address_is_domain(name))
		yaml_error_at_key(y, n, "\"%s\" is no domain, nor a dot and a domain", key);
	if (yaml_kind(n) == YAML_MAP)
		read_mode(r, y, n);
	else if (yaml_as_choice(n, policies, &policy))
		r->policy = (enum tls_policy)policy;
}

void config_read_tls(struct config_outbound *o, struct yaml *y, const struct yaml_node *outbound)
{
	uint32_t policy = o->tls;
	const char *ca = NULL;

	if (yaml_get_choice(outbound, "tls", policies, &policy))
		o->tls = (enum tls_policy)policy;
	if (yaml_get_str(outbound, "tls_ca", &ca))
		o->tls_ca = must(strdup(ca));
	(void)yaml_get_bool(outbound, "dane", &o->dane);
	const struct yaml_node *map = yaml_get_map(outbound, "tls_policies");
	o->tls_rules = must(calloc(yaml_child_count(map) + 1, sizeof(*o->tls_rules)));
	for (const struct yaml_node *n = yaml_first(map); n != NULL; n = yaml_next(n))
		read_rule(o, y, n);
}

void config_free_tls(struct config_outbound *o)
{
	for (uint32_t i = 0; i < o->tls_rule_count; i++) {
		struct tls_rule *r = &o->tls_rules[i];
		uint32_t count = 0;
		while (r->mx != NULL && r->mx[count] != NULL)
			free(r->mx[count++]);
		free(r->mx);
		free(r->pins);
		free(r->domain);
	}
	free(o->tls_rules);
	free(o->tls_ca);
}
