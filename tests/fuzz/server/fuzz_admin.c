/*
 * Any request to the control socket, on a store with one message and one
 * account and no server around it.  Checked: it comes to an end, and says why
 * when it fails.
 */
#include "base/file.h"
#include "reference-server/drive/admin.h"
#include "reference-server/store/account.h"
#include "reference-server/store/queue.h"
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 10000 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
static struct store *store;
static char dir[] = "/tmp/postrider-fuzz-XXXXXX";

static void clean_up(void)
{
	struct err err;

	store_close(store);
	(void)dir_remove(dir, &err);
}

static void fill(void)
{
	struct envelope *e = envelope_new();
	struct account_keys keys;

	e->id = store_new_id(store);
	e->body_bytes = 4;
	envelope_set_reverse_path(e, SPAN_LIT("a@b.example"));
	(void)envelope_add_recipient(e, SPAN_LIT("c@d.example"), SPAN_LIT("c@d.example"));
	queue_submit(store,
		     &(struct queue_change){ .row = QUEUE_INSERT, .message = e, .body = SPAN_LIT("x\r\n.") },
		     NULL, NULL);
	account_derive(SPAN_LIT("secret"), ACCOUNT_ITERATIONS_MIN, &keys);
	account_add(store, SPAN_LIT("a@b.example"), &keys, NULL, NULL);
	store_drain(store);
	envelope_free(e);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct store_options o = { .data_dir = dir, .map_bytes_max = 64 << 20 };
	struct err err;

	(void)argc;
	(void)argv;
	if (mkdtemp(dir) == NULL || store_open(&o, &store, &err) != 0)
		abort();
	(void)atexit(clean_up);
	fill();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span request = { (const char *)data, size };
	struct buf text = { 0 };
	enum admin_step step = ADMIN_MORE;

	/* Passwords take their time, whoever asks. */
	if (memmem(data, size, "add", 3) != NULL)
		return 0;
	struct admin_job *j = admin_start(
		&(struct admin_options){ .store = store, .iterations = ACCOUNT_ITERATIONS_MIN }, request);
	for (int i = 0; i < STEPS_MAX && (step == ADMIN_MORE || step == ADMIN_WAIT); i++) {
		step = admin_step(j, &text);
		if (step == ADMIN_WAIT)
			store_drain(store);
	}
	assert(step == ADMIN_DONE || step == ADMIN_FAILED);
	assert(step != ADMIN_FAILED || admin_error(j)->text[0] != '\0');
	admin_free(j);
	buf_free(&text);
	return 0;
}
