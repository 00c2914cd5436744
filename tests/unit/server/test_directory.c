#include "tests/unit/server/store_fixture.h"

#include "reference-server/drive/directory.h"
#include "reference-server/store/account.h"

#include <errno.h>
#include <stdio.h>

/* Who is found, one after the other. */
struct told {
	struct buf text;
	uint32_t count;
};

static void note(void *ctx, struct span address)
{
	struct told *t = ctx;

	t->count++;
	if (t->count < 5)
		buf_addf(&t->text, "%.*s ", (int)address.n, address.p);
}

static void add_alias(struct config *c, const char *from, uint32_t to_count, const char *pattern)
{
	struct config_alias *a;

	c->aliases = realloc(c->aliases, (c->alias_count + 1) * sizeof(*c->aliases));
	assert_non_null(c->aliases);
	a = &c->aliases[c->alias_count++];
	*a = (struct config_alias){ .from = strdup(from),
				    .to = calloc(to_count, sizeof(char *)),
				    .to_count = to_count };
	for (uint32_t i = 0; i < to_count; i++) {
		char text[64], *at = strchr(pattern, '#');
		if (at == NULL)
			(void)snprintf(text, sizeof(text), "%s", pattern);
		else
			(void)snprintf(text, sizeof(text), "%.*s%u%s", (int)(at - pattern), pattern, i,
				       at + 1);
		a->to[i] = strdup(text);
	}
}

static void note_account(void *ctx, int result)
{
	(void)ctx;
	assert_int_equal(result, 0);
}

static void nobody_behind_an_alias_is_left_out(void **state)
{
	static const struct row {
		const char *of;
		int found;
		uint32_t count;
		const char *first;
	} rows[] = {
		{ "sales@fredsco.example", 0, 1, "sales@fredsco.example " },
		{ "gone@fredsco.example", -ENOENT, 0, "" },
		{ "full@fredsco.example", 0, DIRECTORY_MEMBERS_MAX, "m0@far.example m1@far.example " },
		{ "over@fredsco.example", -E2BIG, 0, "" },
		{ "twice@fredsco.example", -E2BIG, 0, "" },
		{ "step0@fredsco.example", -E2BIG, 0, "" },
		{ "step1@fredsco.example", 0, 1, "sales@fredsco.example " },
		{ "some@fredsco.example", 0, 2, "gone@fredsco.example sales@fredsco.example " },
		{ "nobody@fredsco.example", -ENOENT, 0, "" },
		{ "self@fredsco.example", -ENOENT, 0, "" },
	};
	struct fixture *f = *state;
	struct config *c = config_new();
	struct account_keys keys;
	struct err e;

	assert_int_equal(config_set_domain(c, "fredsco.example", &e), 0);
	account_derive(SPAN_LIT("secret"), ACCOUNT_ITERATIONS_MIN, &keys);
	account_add(f->store, SPAN_LIT("sales@fredsco.example"), &keys, note_account, NULL);
	store_drain(f->store);
	add_alias(c, "full@fredsco.example", DIRECTORY_MEMBERS_MAX, "m#@far.example");
	add_alias(c, "over@fredsco.example", DIRECTORY_MEMBERS_MAX + 1, "m#@far.example");
	add_alias(c, "twice@fredsco.example", 2, "full@fredsco.example");
	for (uint32_t i = 0; i < DIRECTORY_ALIAS_DEPTH_MAX; i++) {
		char from[64], to[64];
		(void)snprintf(from, sizeof(from), "step%u@fredsco.example", i);
		(void)snprintf(to, sizeof(to), "step%u@fredsco.example", i + 1);
		add_alias(c, from, 1, to);
	}
	add_alias(c, "step10@fredsco.example", 1, "sales@fredsco.example");
	add_alias(c, "some@fredsco.example", 2, "gone@fredsco.example");
	free(c->aliases[c->alias_count - 1].to[1]);
	c->aliases[c->alias_count - 1].to[1] = strdup("sales@fredsco.example");
	add_alias(c, "nobody@fredsco.example", 2, "gone#@fredsco.example");
	add_alias(c, "self@fredsco.example", 1, "self@fredsco.example");
	struct directory *d = directory_new(c, f->store);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct told t = { .count = 0 };
		struct address a;
		assert_int_equal(address_parse_mailbox(span_of(row->of), &a), ADDRESS_OK);
		int found = directory_expand(d, a, note, &t);
		if (found != row->found || t.count != row->count ||
		    strncmp(buf_cstr(&t.text), row->first, strlen(row->first)) != 0)
			fail_msg("%s: %d, %u: %s", row->of, found, t.count, buf_cstr(&t.text));
		buf_free(&t.text);
	}
	directory_free(d);
	config_free(c);
}

static uint32_t new_account(struct fixture *f, struct directory *d, const char *address)
{
	struct account_keys keys;
	uint32_t id = 0;
	struct address a;

	account_derive(SPAN_LIT("secret"), ACCOUNT_ITERATIONS_MIN, &keys);
	account_add(f->store, span_of(address), &keys, note_account, NULL);
	store_drain(f->store);
	assert_int_equal(address_parse_mailbox(span_of(address), &a), ADDRESS_OK);
	assert_int_equal(directory_account(d, a, &id), 0);
	return id;
}

static void an_address_leads_to_whoever_gets_its_mail(void **state)
{
	static const struct row {
		const char *of;
		int to_sales, to_boss;
	} rows[] = {
		{ "sales@fredsco.example", 0, -ENOENT },
		{ "Sales+list@FREDSCO.example", 0, -ENOENT },
		{ "staff@fredsco.example", 0, 0 },
		{ "info@fredsco.example", 0, -ENOENT },
		{ "elsewhere@fredsco.example", -ENOENT, -ENOENT },
		{ "sales@far.example", -ENOENT, -ENOENT },
		{ "nobody@fredsco.example", -ENOENT, -ENOENT },
		{ "over@fredsco.example", -E2BIG, -E2BIG },
	};
	struct fixture *f = *state;
	struct config *c = config_new();
	struct err e;

	assert_int_equal(config_set_domain(c, "fredsco.example", &e), 0);
	add_alias(c, "info@fredsco.example", 1, "sales@fredsco.example");
	add_alias(c, "staff@fredsco.example", 2, "info@fredsco.example");
	free(c->aliases[c->alias_count - 1].to[1]);
	c->aliases[c->alias_count - 1].to[1] = strdup("boss@fredsco.example");
	add_alias(c, "elsewhere@fredsco.example", 1, "sales@far.example");
	add_alias(c, "over@fredsco.example", DIRECTORY_MEMBERS_MAX + 1, "sales@fredsco.example");
	struct directory *d = directory_new(c, f->store);
	uint32_t sales = new_account(f, d, "sales@fredsco.example");
	uint32_t boss = new_account(f, d, "boss@fredsco.example");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct address a;
		assert_int_equal(address_parse_mailbox(span_of(row->of), &a), ADDRESS_OK);
		int to_sales = directory_leads_to(d, a, sales), to_boss = directory_leads_to(d, a, boss);
		if (to_sales != row->to_sales || to_boss != row->to_boss)
			fail_msg("%s: %d to sales, %d to boss", row->of, to_sales, to_boss);
	}
	directory_free(d);
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_behind_an_alias_is_left_out, fixture_make_open,
						fixture_remove),
		cmocka_unit_test_setup_teardown(an_address_leads_to_whoever_gets_its_mail, fixture_make_open,
						fixture_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
