#include "reference-server/drive/smtp_out_parts.h"

#include "base/log.h"
#include "reference-server/core/mutant.h"

void smtp_out_make_plan(struct smtp_out *o)
{
	const struct config_outbound *c = &o->config->outbound;
	const struct target_host *h = smtp_out_host(o);
	const struct tls_rule *rule =
		tls_rule_find(c->tls_rules, c->tls_rule_count, span_of(o->targets->domain));

	o->plan = tls_plan_make(rule, c->tls,
				&(struct tls_facts){ .host = span_of(h->name),
						     .from_mx = h->from_mx,
						     .mx_is_secure = o->targets->mx_is_secure,
						     .dane = h->dane,
						     .wish = o->wish });
	o->check = (struct tls_check){ .name = h->name, .only_told = o->plan.proof_is_only_told };
	if (o->plan.uses_pins) {
		o->check.pins = rule->pins;
		o->check.pin_count = rule->pin_count;
	}
	switch (o->plan.proof) {
	case TLS_PROOF_NONE:
		break;
	case TLS_PROOF_CHAIN:
		o->check.kind = TLS_CHECK_CHAIN;
		break;
	case TLS_PROOF_DANE: /* RFC 7672 3.2.2 */
		o->check.kind = MUTANT(RELAY_DANE_CHAIN_COUNTS) ? TLS_CHECK_CHAIN : TLS_CHECK_DANE;
		o->check.name = MUTANT(RELAY_DANE_ASKS_FOR_HOST) ? h->name : h->dane_name;
		if (MUTANT(RELAY_DANE_DOMAIN_ONLY))
			o->check.name = o->targets->domain;
		o->check.records = h->records;
		o->check.record_count = h->record_count;
		o->check.other_names[0] = MUTANT(RELAY_DANE_HOST_ONLY) ? NULL : o->targets->domain;
		if (o->targets->domain_expanded[0] != '\0' && !MUTANT(RELAY_DANE_HOST_ONLY) &&
		    !MUTANT(RELAY_DANE_NO_ALIAS))
			o->check.other_names[1] = o->targets->domain_expanded;
		break;
	}
	if ((MUTANT(RELAY_ANY_CERTIFICATE) && o->check.kind == TLS_CHECK_CHAIN) ||
	    (MUTANT(RELAY_DANE_ANY_CERTIFICATE) && o->check.kind == TLS_CHECK_DANE))
		o->check.kind = TLS_CHECK_NOTHING;
}

/* In mode testing mail goes all the same, and whoever reads the log hears what enforce would have done. */
void smtp_out_tell_violation(const struct smtp_out *o, const char *text)
{
	log_event(LOG_WARN, "tls-policy-testing", LOG_C("destination", o->targets->domain),
		  LOG_C("host", smtp_out_host(o)->name), LOG_C("text", text));
}
