/*
 * server: everything that lives as long as the process, and the order in
 * which it starts and stops.
 *
 * One loop thread does sockets, DNS and timers; the store has one writer
 * thread; the helper pool takes what would block (password hashing).  Every
 * other file of this folder gets the struct server and uses what it needs.
 */
#ifndef SERVER_DRIVE_SERVER_H
#define SERVER_DRIVE_SERVER_H

#include "base/err.h"
#include "base/loop.h"
#include "base/tls.h"
#include "reference-server/config.h"
#include "reference-server/drive/counters.h"
#include "reference-server/policy/route.h"
#include "reference-server/store/store.h"

struct auth;
struct control;
struct directory;
struct gate;
struct http;
struct load;
struct relay;
struct resolver;
struct smtp_profile;

struct server {
	struct loop *loop;
	struct config *config; /* as of start or the last reload */
	struct store *store;
	struct pool *pool;
	struct auth *auth;
	struct directory *directory; /* who is local */
	struct resolver *resolver;
	struct relay *relay; /* takes over every message once it is durable */
	struct control *control;
	struct http *metrics; /* NULL: not wanted */
	struct counters counters;
	struct settings *settings;                    /* what a reload replaces: config to profiles */
	struct route_settings route;                  /* rules, own names and addresses; for routing */
	struct smtp_profile *profiles[SERVICE_COUNT]; /* of the SMTP services */
	struct tls_ctx *tls_in;                       /* replaced by a reload; connections keep theirs */
	struct tls_ctx *tls_out;       /* likewise; each connection says what it wants proven */
	struct load *load;             /* bounds what they make us hold */
	struct gate *gate;             /* counts the connections that came in */
	uint32_t unacknowledged_count; /* messages handed to the store, 250 not yet sent */
	uint64_t unacknowledged_bytes;
	bool stopping;
};

/*
 * Runs until SIGTERM or SIGINT.  Takes config.  Prints one line per service
 * and `ready` on stdout.  config_path: read again at SIGHUP; NULL: only
 * certificates are.  Returns the exit code.
 */
int server_run(struct config *config, const char *config_path);

/* Reads certificates and configuration again, as SIGHUP does. */
void server_reload(struct server *server);

/*
 * What a reload replaces lives as long as somebody borrows from it: a session
 * or connection that keeps texts or pointers of config, directory, profiles or
 * route over a loop round uses the settings of its begin and releases them at
 * its end.  NULL, which release accepts, when there are none.
 */
struct settings;
struct settings *settings_use(struct server *server);
void settings_release(struct settings *s);
/* How many there are, the current ones included. */
uint32_t settings_count(void);

/* Session id for log lines; unique in this process. */
uint64_t server_next_session(void);

#endif
