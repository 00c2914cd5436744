#include "harness/cli/doctor.h"

#include "base/buf.h"
#include "base/opt.h"
#include "harness/scenario/target.h"
#include "harness/world/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	EXIT_SOMETHING_MISSING = 1,
	FILES_WANTED = 4096, /* a flow with some hundred connections on every link */
};

static void print(bool fine, const char *what, const char *why)
{
	(void)printf("%-4s %-22s %s\n", fine ? "yes" : "no", what, why);
}

static bool check_network(void)
{
	struct err e;
	bool fine = network_is_possible(&e);

	print(fine, "private networks",
	      fine ? "servers as in life: port 25, DNS on port 53, foreign next hops" : e.text);
	return fine;
}

static bool check_files(void)
{
	struct rlimit l = { 0 };
	char text[96];
	bool fine = getrlimit(RLIMIT_NOFILE, &l) == 0 &&
		    (l.rlim_max >= FILES_WANTED || l.rlim_max == RLIM_INFINITY);

	(void)snprintf(text, sizeof(text), "%llu may be open at a time", (unsigned long long)l.rlim_max);
	print(fine, "many connections", text);
	return fine;
}

/* The plots of a report; without it the report has none. */
static bool check_gnuplot(void)
{
	bool fine = system("command -v gnuplot >/dev/null 2>&1") == 0; /* a fixed text */

	print(fine, "plots", fine ? "gnuplot" : "gnuplot is not here; it is in package gnuplot-nox");
	return fine;
}

static bool check_target(const char *name, bool network)
{
	struct buf why = { 0 };
	struct target *t = target_load(name, &why);
	bool fine = t != NULL;

	if (t != NULL && t->remote.is) {
		buf_add_cstr(&why, "a server elsewhere; not tried");
	} else if (t != NULL) {
		fine = target_can_start(t, &why);
		if (fine && !t->on_loopback && !network) {
			buf_add_cstr(&why, "it runs in a private network only, and there is none");
			fine = false;
		}
	}
	char label[64];
	(void)snprintf(label, sizeof(label), "target %s", name);
	print(fine, label, fine && t != NULL && buf_bytes(&why) == 0 ? t->title : buf_cstr(&why));
	target_free(t);
	buf_free(&why);
	return fine;
}

static int examine(void)
{
	char **names = target_all();
	bool network = check_network();
	bool fine = network;

	fine = check_files() && fine;
	fine = check_gnuplot() && fine;
	for (char **n = names; *n != NULL; n++)
		fine = check_target(*n, network) && fine;
	target_all_free(names);
	return fine ? 0 : EXIT_SOMETHING_MISSING;
}

int cli_doctor(int argc, char **argv)
{
	int rc = opt_parse(
		&(struct opt_command){
			.name = "postrider doctor",
			.purpose = "Says what can be tested on this machine, and for what cannot, why "
				   "not.  Starts no server and changes nothing.",
			.example = "postrider doctor",
			.exit_codes = "0  everything\n1  not everything\n2  usage error" },
		argc, argv);

	return rc == OPT_GO ? examine() : rc;
}
