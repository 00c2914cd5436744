#include "harness/scenario/target.h"

#include "harness/scenario/flow_target.h"
#include "tests/unit/harness/exact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char SMALL[] =
	"target: t\ntitle: a server\nservices: [smtp]\nservers:\n  - run: [x, \"${dir}/c\"]\n"
	"ready: { ports: [smtp] }\n";

static struct target *read_text(const char *text, struct buf *messages)
{
	struct exact e = exact_of(span_of(text));
	struct target *t = target_read(&(struct target_options){
		.path = "d/t.yaml", .text = exact_span(e), .ret_messages = messages });
	exact_free(e);
	return t;
}

static void the_smallest_target_has_the_documented_defaults(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct target *t = read_text(SMALL, &messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_non_null(t);
	assert_string_equal(t->servers[0].run.args[1], "${dir}/c");
	assert_null(t->servers[0].run.args[2]);
	assert_true(t->services[FLOW_SMTP]);
	assert_false(t->services[FLOW_POP3]);
	assert_false(t->on_loopback);
	assert_false(t->needs_root);
	assert_false(t->remote.is);
	target_free(t);
	buf_free(&messages);
}

static const struct row {
	const char *more; /* after SMALL */
	const char *message;
} mistakes[] = {
	{ "retyr: 1s\n", "d/t.yaml:7:1: error: unknown key \"retyr\"" },
	{ "dirs: [/etc]\n", "7:8: error: \"/etc\" must be a path below the host's directory" },
	{ "dirs: [a/../../b]\n", "must be a path below" },
	{ "dirs: [{ path: a, mode: \"9\" }]\n", "\"9\" is no mode" },
	{ "files: [{ path: a }]\n", "exactly one of template, text and copy" },
	{ "files: [{ path: a, text: x, copy: y }]\n", "exactly one of template, text and copy" },
	{ "files: [{ path: a, template: ../b }]\n", "below the target's directory" },
	{ "files: [{ path: a, text: \"${hostnam}\" }]\n", "${hostnam} has no value" },
	{ "files: [{ path: a, text: x, for: host }]\n", "for" },
	{ "prepare: [\"x y\"]\n", "a command is a list of words" },
	{ "borrowed: [pop3]\n", "\"pop3\" is not among the services" },
	{ "cases-at-once: 0\n", "cases-at-once" },
	{ "next-hops: { retry: { first: 1s, max: 1s } }\n", "\"expire\" is missing" },
	{ "with: a\nvariant-of: b\n", "\"with\" comes from the target that is varied" },
	{ "next-hops: { dealy: 3s }\n", "unknown key \"dealy\"" },
	{ "remote: { host: h, ports: { smtp: 25 }, recipient-domains: [x] }\nnext-hops: {}\n",
	  "nobody plays next hops for a remote server" },
	{ "mounts: { var: a }\n", "must be an absolute path" },
	{ "queue: { run: [x] }\n", "say how to count" },
	{ "remote: { host: h, ports: { smtp: 25 } }\n", "\"recipient-domains\" must name" },
	{ "remote: { host: h, recipient-domains: [x] }\n", "\"ports\" must name" },
	{ "remote: { host: h, ports: { smtp: 25 }, recipient-domains: [x], rate-max: 100 }\n", "rate-max" },
	{ "remote: { host: h, ports: { smtp: 25 }, recipient-domains: [x] }\n", "nothing is started" },
};

static void every_mistake_is_told_with_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		struct buf text = { 0 }, messages = { 0 };
		buf_addf(&text, "%s%s", SMALL, mistakes[i].more);
		struct target *t = read_text(buf_cstr(&text), &messages);
		if (t != NULL || strstr(buf_cstr(&messages), mistakes[i].message) == NULL)
			fail_msg("%s: %s", mistakes[i].more, buf_cstr(&messages));
		buf_free(&text);
		buf_free(&messages);
	}
}

static void a_relay_has_a_schedule_for_its_cases(void **state)
{
	(void)state;
	struct buf text = { 0 }, messages = { 0 };

	buf_addf(&text,
		 "%snext-hops:\n  retry: { first: 1s, max: 2s, expire: 12s }\n  reply-timeout: 3s\n"
		 "  speaks: [LIMITS]\n",
		 SMALL);
	struct target *t = read_text(buf_cstr(&text), &messages);
	assert_string_equal(buf_cstr(&messages), "");
	assert_non_null(t);
	assert_true(t->relay.is);
	assert_int_equal(t->relay.first_ms, 1000);
	assert_int_equal(t->relay.max_ms, 2000);
	assert_int_equal(t->relay.expire_ms, 12000);
	assert_int_equal(t->relay.reply_timeout_ms, 3000);
	assert_int_equal(t->relay.delay_ms, 0);
	assert_int_equal(t->relay.settle_ms, 10000);
	assert_string_equal(t->relay.speaks.items[0], "LIMITS");
	target_free(t);
	buf_free(&text);
	buf_free(&messages);
}

static void a_target_needs_a_server_and_a_sign_that_it_is_ready(void **state)
{
	(void)state;
	struct buf messages = { 0 };

	assert_null(read_text("target: t\ntitle: x\n", &messages));
	assert_non_null(strstr(buf_cstr(&messages), "key \"servers\" is missing"));
	assert_non_null(strstr(buf_cstr(&messages), "key \"ready\" is missing"));
	buf_free(&messages);
}

static void the_shipped_targets_have_no_mistakes(void **state)
{
	(void)state;
	char **names = target_all();

	assert_non_null(names[0]);
	for (char **n = names; *n != NULL; n++) {
		struct buf messages = { 0 };
		struct target *t = target_load(*n, &messages);
		if (t == NULL)
			fail_msg("%s: %s", *n, buf_cstr(&messages));
		assert_string_equal(t->name, *n);
		target_free(t);
		buf_free(&messages);
	}
	target_all_free(names);
}

static void what_another_target_lends_comes_first(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct target *t = target_load("postfix", &messages);

	assert_non_null(t);
	assert_string_equal(t->name, "postfix");
	assert_int_equal(t->server_count, 2);
	assert_string_equal(t->servers[0].run.args[0], "dovecot");
	assert_true(t->services[FLOW_POP3S] && t->services[FLOW_SUBMISSION]);
	assert_true(t->ready_ports[FLOW_POP3] && t->ready_ports[FLOW_SMTP]);
	assert_string_equal(t->with, "dovecot");
	assert_string_equal(t->packages.items[t->borrowed_package_count], "postfix");
	assert_true(t->borrowed[FLOW_POP3S] && t->borrowed[FLOW_LMTP]);
	assert_false(t->borrowed[FLOW_SMTP] || t->borrowed[FLOW_SUBMISSION]);
	target_free(t);
	buf_free(&messages);
}

static void a_variant_has_all_of_what_it_varies(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct target *base = target_load("postfix", &messages),
		      *t = target_load("postfix-hardened", &messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_non_null(base);
	assert_non_null(t);
	assert_string_equal(t->name, "postfix-hardened");
	assert_string_equal(t->tree, "postfix");
	assert_string_equal(base->tree, "postfix");
	assert_true(t->hardened && !base->hardened);
	assert_string_equal(t->with, "dovecot");
	assert_int_equal(t->file_count, base->file_count);
	assert_int_equal(t->borrowed_package_count, base->borrowed_package_count);
	assert_false(t->borrowed[FLOW_SMTP]);
	assert_true(t->borrowed[FLOW_POP3S]);
	assert_int_equal(t->relay.expire_ms, base->relay.expire_ms);
	target_free(base);
	target_free(t);
	buf_free(&messages);
}

static void a_variant_with_packages_of_its_own_has_them_all_in_a_tree_of_its_own(void **state)
{
	(void)state;
	struct buf messages = { 0 };
	struct target *base = target_load("postfix", &messages),
		      *t = target_load("postfix-mta-sts", &messages);

	assert_string_equal(buf_cstr(&messages), "");
	assert_non_null(base);
	assert_non_null(t);
	assert_string_equal(t->tree, "postfix-mta-sts");
	assert_int_equal(t->packages.count, base->packages.count + 1);
	assert_string_equal(t->packages.items[base->packages.count], "postfix-mta-sts-resolver");
	assert_true(target_is_able(t, "mta-sts") && target_is_able(t, "tls-verify"));
	assert_false(target_is_able(base, "mta-sts"));
	target_free(base);
	target_free(t);
	buf_free(&messages);
}

/* ---- what a flow asks of it ---- */

static const char FLOW[] =
	"flow: f\ntitle: t\nhosts:\n"
	"  a: { domain: a.example, accounts: [ann], settings: { %s } }\n"
	"  b: { domain: b.example, accounts: [bob] }\n"
	"  gone: { domain: gone.example, target: none }\n"
	"traffic:\n  - { from: ann@a.example, to: bob@b.example, rate: 10/s, for: 1s, name: t }\n";

static const struct choice_row {
	const char *choice;
	const char *settings;
	const char *message; /* NULL: fine */
} choices[] = {
	{ "a=postfix", "", NULL },
	{ "postfix", "", NULL },
	{ "a=postfix", "retry: { first: 1s }", NULL },
	{ "a=reference", "auth: { plain_without_tls: yes }", NULL },
	{ "a=postfix", "auth: { plain_without_tls: yes }", "target postfix cannot be told \"auth\"" },
	{ "a=postfox", "", "did you mean \"postfix\"?" },
	{ "c=postfix", "", "has no host \"c\"" },
	{ "gone=postfix", "", "has no host \"gone\" that runs a server" },
	{ "a=dovecot", "", "traffic \"t\" uses submission on host a, which target dovecot does not offer" },
};

static void a_target_is_held_against_what_the_flow_asks_of_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		struct buf text = { 0 }, messages = { 0 };
		const char *const list[] = { choices[i].choice, NULL };
		char name[64] = "";
		struct span rest = span_of(FLOW), head;
		assert_true(span_take_until(&rest, '%', &head));
		buf_addf(&text, "%.*s%s%s", SPAN_FMT(head), choices[i].settings, rest.p + 1);
		struct flow *f = flow_read(&(struct flow_options){
			.path = "f.yaml", .text = buf_span(&text), .ret_messages = &messages });
		if (f == NULL)
			fail_msg("%s", buf_cstr(&messages));
		bool fine = flow_set_targets(f, list, &messages);
		if (fine != (choices[i].message == NULL) ||
		    (!fine && strstr(buf_cstr(&messages), choices[i].message) == NULL))
			fail_msg("%s: %s", choices[i].choice, buf_cstr(&messages));
		assert_string_equal(f->hosts[2].target, "none");
		(void)span_copy(span_of(f->hosts[1].target), name, sizeof(name));
		if (fine)
			assert_string_equal(name, strcmp(choices[i].choice, "postfix") == 0 ? "postfix"
											    : "reference");
		flow_free(f);
		buf_free(&text);
		buf_free(&messages);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_target_has_the_documented_defaults),
		cmocka_unit_test(every_mistake_is_told_with_its_place),
		cmocka_unit_test(a_relay_has_a_schedule_for_its_cases),
		cmocka_unit_test(a_target_needs_a_server_and_a_sign_that_it_is_ready),
		cmocka_unit_test(the_shipped_targets_have_no_mistakes),
		cmocka_unit_test(what_another_target_lends_comes_first),
		cmocka_unit_test(a_variant_has_all_of_what_it_varies),
		cmocka_unit_test(a_variant_with_packages_of_its_own_has_them_all_in_a_tree_of_its_own),
		cmocka_unit_test(a_target_is_held_against_what_the_flow_asks_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
