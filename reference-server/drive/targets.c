#include "reference-server/drive/targets.h"

#include <assert.h>
#include <stdlib.h>

struct targets *targets_new(uint32_t host_count, uint32_t count)
{
	struct targets *t = calloc(1, sizeof(*t));

	assert(host_count > 0 && count > 0);
	if (t == NULL)
		abort();
	*t = (struct targets){ .use_count = 1, .host_count = host_count, .count = count };
	t->hosts = calloc(host_count, sizeof(*t->hosts));
	t->list = calloc(count, sizeof(*t->list));
	if (t->hosts == NULL || t->list == NULL)
		abort();
	return t;
}

struct targets *targets_use(struct targets *t)
{
	t->use_count++;
	return t;
}

void targets_release(struct targets *t)
{
	if (t == NULL || --t->use_count > 0)
		return;
	for (uint32_t i = 0; i < t->host_count; i++)
		free(t->hosts[i].records);
	free(t->hosts);
	free(t->list);
	free(t);
}
