#include "reference-server/config_parts.h"

#include "reference-server/core/smtp_parameter.h"

#include <string.h>
#include <strings.h>

static void read_subaddress(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	const char *s = NULL;

	if (!yaml_get_str(root, "subaddress", &s))
		return;
	if (strcmp(s, "none") == 0)
		c->subaddress_separator = '\0';
	else if (strlen(s) == 1 && strchr("!#$%&'*+-/=?^_`{|}~.", s[0]) != NULL)
		c->subaddress_separator = s[0];
	else
		yaml_error(y, yaml_get(root, "subaddress"),
			   "\"%s\" is neither one character such as + or -, nor none", s);
}

static void read_without(struct config *c, struct yaml *y, const struct yaml_node *smtp)
{
	static const struct {
		const char *keyword;
		unsigned offer;
	} keywords[] = {
		{ "BINARYMIME", SMTP_OFFER_BINARYMIME },       { "SMTPUTF8", SMTP_OFFER_SMTPUTF8 },
		{ "REQUIRETLS", SMTP_OFFER_REQUIRETLS },       { "DELIVERBY", SMTP_OFFER_DELIVERBY },
		{ "FUTURERELEASE", SMTP_OFFER_FUTURERELEASE },
	};
	const struct yaml_node *list = yaml_get_list(smtp, "without");

	for (const struct yaml_node *n = yaml_first(list); n != NULL; n = yaml_next(n)) {
		const char *s = NULL;
		unsigned found = 0;
		if (!yaml_as_str(n, &s))
			continue;
		for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
			if (strcasecmp(keywords[i].keyword, s) == 0)
				found = keywords[i].offer;
		c->smtp.without |= found;
		if (found == 0)
			yaml_error(y, n,
				   "\"%s\" is none of BINARYMIME, SMTPUTF8, REQUIRETLS, DELIVERBY, "
				   "FUTURERELEASE",
				   s);
	}
}

void config_read_smtp(struct config *c, struct yaml *y, const struct yaml_node *root)
{
	static const char *const header_choices[] = { "accept", "refuse", NULL };
	const struct yaml_node *m = yaml_get_map(root, "smtp");
	uint32_t header = 0;

	read_subaddress(c, y, root);
	read_without(c, y, m);
	(void)yaml_get_bool(m, "vrfy", &c->smtp.vrfy);
	(void)yaml_get_bool(m, "expn", &c->smtp.expn);
	if (yaml_get_choice(m, "header_8bit", header_choices, &header))
		c->smtp.refuse_8bit_header = header == 1;
	(void)yaml_get_duration_ms(m, "deliver_by_min", 0, YEAR_MS, &c->smtp.by_ms_min);
	(void)yaml_get_duration_ms(m, "hold_max", 0, 10 * YEAR_MS, &c->smtp.hold_ms_max);
}
