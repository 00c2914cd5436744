#include "harness/fault/links.h"

#include <assert.h>
#include <stdlib.h>

struct links {
	const struct world *world;
	struct link *links[FLOW_HOSTS_MAX][FLOW_HOSTS_MAX];
};

static int make_link(struct links *ls, struct loop *loop, uint32_t from, uint32_t to,
		     const struct link_observer *observer, struct err *reterr)
{
	const struct link_options o = { .loop = loop,
					.listen_at = world_link_addr(ls->world, from, to),
					.connect_to = world_service_addr(ls->world, to, FLOW_SMTP),
					.bind_to = world_link_source_addr(ls->world, from),
					.observer = observer,
					.from = from,
					.to = to };

	ls->links[from][to] = link_new(&o, reterr);
	return ls->links[from][to] != NULL ? 0 : reterr->code;
}

struct links *links_new(struct loop *l, const struct world *w, const struct link_observer *observer,
			struct err *reterr)
{
	uint32_t count = world_flow(w)->host_count;
	struct links *ls = calloc(1, sizeof(*ls));

	if (ls == NULL)
		abort();
	ls->world = w;
	for (uint32_t from = 0; from < count; from++)
		for (uint32_t to = 0; to < count; to++) {
			if (from == to || world_host(w, from) == NULL || world_host(w, to) == NULL)
				continue;
			if (make_link(ls, l, from, to, observer, reterr) != 0) {
				links_free(ls);
				return NULL;
			}
		}
	return ls;
}

void links_free(struct links *ls)
{
	if (ls == NULL)
		return;
	for (uint32_t from = 0; from < FLOW_HOSTS_MAX; from++)
		for (uint32_t to = 0; to < FLOW_HOSTS_MAX; to++)
			link_free(ls->links[from][to]);
	free(ls);
}

struct link *links_get(const struct links *ls, uint32_t from, uint32_t to)
{
	assert(from != to && from < FLOW_HOSTS_MAX && to < FLOW_HOSTS_MAX);
	return ls->links[from][to];
}

int links_set_down(struct links *ls, uint32_t to, bool down, struct err *reterr)
{
	for (uint32_t from = 0; from < FLOW_HOSTS_MAX; from++) {
		struct link *l = ls->links[from][to];
		int rc = l != NULL ? link_set_down(l, down, reterr) : 0;
		if (rc != 0)
			return rc;
	}
	return 0;
}
