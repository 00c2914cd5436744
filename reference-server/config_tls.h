/*
 * config_tls: the TLS policies of `outbound` in a configuration file.  For
 * config.c only.
 */
#ifndef SERVER_CONFIG_TLS_H
#define SERVER_CONFIG_TLS_H

#include "base/yaml.h"
#include "reference-server/config.h"

/* Keys tls, tls_ca, dane and tls_policies of the mapping; mistakes are noted in y. */
void config_read_tls(struct config_outbound *o, struct yaml *y, const struct yaml_node *outbound);
void config_free_tls(struct config_outbound *o);

#endif
