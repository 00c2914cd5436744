/*
 * config_parts: what the parts of the configuration's reader share, and nobody
 * else needs: config.c has the defaults, the options and most keys,
 * config_smtp.c what SMTP and LMTP offer.
 */
#ifndef SERVER_CONFIG_PARTS_H
#define SERVER_CONFIG_PARTS_H

#include "base/yaml.h"
#include "reference-server/config.h"

#define MINUTE_MS (INT64_C(60) * 1000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define YEAR_MS (365 * DAY_MS)

/* "bücher.example" and ".bücher.example" as A-labels, to be freed; what is no name at all meets no domain. */
char *config_domain_key(const char *domain);

/* subaddress, and the section smtp. */
void config_read_smtp(struct config *c, struct yaml *y, const struct yaml_node *root);

#endif
