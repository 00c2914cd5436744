#include "harness/cli/residue_names.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void residue_names_free(struct residue_names *n)
{
	for (uint32_t i = 0; i < n->count; i++) {
		free((char *)(uintptr_t)n->items[i].sender);
		free((char *)(uintptr_t)n->items[i].recipient);
	}
	free(n->items);
	*n = (struct residue_names){ 0 };
}

static void add_name(struct residue_names *n, const char *sender, const char *recipient)
{
	if (n->count == n->room) {
		n->room = n->room == 0 ? 64 : n->room * 2;
		n->items = realloc(n->items, n->room * sizeof(*n->items));
		if (n->items == NULL)
			abort();
	}
	struct ledger_waiting *w = &n->items[n->count++];
	*w = (struct ledger_waiting){ .sender = strdup(sender), .recipient = strdup(recipient) };
	if (w->sender == NULL || w->recipient == NULL)
		abort();
}

static bool read_message(struct span line, struct residue_names *n)
{
	json_t *o = json_loadb(line.p, line.n, 0, NULL), *recipient;
	const char *sender = json_string_value(json_object_get(o, "sender"));
	const json_t *recipients = json_object_get(o, "recipients");
	bool fine = sender != NULL && json_is_array(recipients);
	size_t i;

	/* Nobody is left who should get it; its sender may be told so yet. */
	if (fine && json_array_size(recipients) == 0)
		add_name(n, sender, sender);

	json_array_foreach(recipients, i, recipient)
	{
		const char *address = json_string_value(json_object_get(recipient, "address"));
		fine = fine && address != NULL;
		if (fine)
			add_name(n, sender, address);
	}
	json_decref(o);
	return fine;
}

bool residue_read_names(struct span listing, struct residue_names *n)
{
	struct span line;

	while (span_take_until(&listing, '\n', &line))
		if (!read_message(line, n))
			return false;
	return listing.n == 0; /* the last line is whole */
}
