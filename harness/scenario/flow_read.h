/*
 * flow_read: the inside of harness/scenario/flow, shared by its parts: the
 * world (flow.c), the mail (flow_traffic.c), what breaks and what must come
 * out (flow_fault.c).  Nobody else includes this.
 */
#ifndef HARNESS_SCENARIO_FLOW_READ_H
#define HARNESS_SCENARIO_FLOW_READ_H

#include "harness/scenario/flow.h"

/* Every part reads on after a mistake, so that one run reports all. */
struct flow_reader {
	struct flow *flow;
	struct yaml *y;
	const struct yaml_node *root;
	const char **record_owners; /* of dns.records, "mx.gone.example" */
};

void flow_read_traffic(struct flow_reader *r);
void flow_read_retrieve(struct flow_reader *r);
void flow_read_faults(struct flow_reader *r);
void flow_read_expect(struct flow_reader *r);
void flow_read_limits(struct flow_reader *r);

/* Array for count items in the flow's memory; count 0 gives NULL. */
void *flow_array(struct flow_reader *r, uint32_t count, size_t item_bytes);

/* A name from hosts; FLOW_NONE after an error that says what it could be. */
int32_t flow_host_at(struct flow_reader *r, const struct yaml_node *n, struct span name);
/* By key; FLOW_NONE when absent, or wrong and noted. */
int32_t flow_get_host(struct flow_reader *r, const struct yaml_node *map, const char *key);
/* Letters, digits, hyphens and dots; whole names without a dot at the end. */
bool flow_is_domain(struct span s);
/* domain, or one it is below, is in names. */
bool flow_domain_is_under(const char *domain, const char *const *names, uint32_t name_count);

#endif
