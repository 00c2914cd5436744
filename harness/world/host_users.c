#include "harness/world/host_users.h"

#include "base/file.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

enum {
	FIRST_UID = 64100, /* Debian keeps 60000 to 64999 for packages that ask for a number */
	FIRST_GID = 64100, /* users have a group of their own number */
	FIRST_GROUP_GID = 64200,
	FILE_BYTES_MAX = 4 * 1024 * 1024,
};

/* ---- who is who ---- */

static bool find_group(const struct target *t, const char *name, gid_t *ret_gid)
{
	const struct group *g = getgrnam(name);

	if (g != NULL) {
		*ret_gid = g->gr_gid;
		return true;
	}
	for (uint32_t i = 0; i < t->groups.count; i++) {
		if (strcmp(t->groups.items[i], name) == 0) {
			*ret_gid = FIRST_GROUP_GID + i;
			return true;
		}
	}
	for (uint32_t i = 0; i < t->users.count; i++) {
		if (strcmp(t->users.items[i], name) == 0) {
			*ret_gid = FIRST_GID + i;
			return true;
		}
	}
	return false;
}

static bool find_user(const struct target *t, const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
	const struct passwd *p = getpwnam(name);

	if (p != NULL) {
		*ret_uid = p->pw_uid;
		*ret_gid = p->pw_gid;
		return true;
	}
	for (uint32_t i = 0; i < t->users.count; i++) {
		if (strcmp(t->users.items[i], name) == 0) {
			*ret_uid = FIRST_UID + i;
			return find_group(t, name, ret_gid);
		}
	}
	return false;
}

bool host_users_find(const struct target *t, const char *owner, uid_t *ret_uid, gid_t *ret_gid)
{
	char user[64];
	struct span rest = span_of(owner), head;
	bool has_group = span_take_until(&rest, ':', &head);

	if (!span_copy(has_group ? head : span_of(owner), user, sizeof(user)) ||
	    !find_user(t, user, ret_uid, ret_gid))
		return false;
	return !has_group || find_group(t, rest.p, ret_gid);
}

/* ---- /etc ---- */

static int put(const struct host_setup *s, const char *name, struct buf *content, struct err *reterr)
{
	struct buf path = { 0 };

	buf_addf(&path, "%s/etc-layer/%s", s->dir, name);
	int rc = file_write(buf_cstr(&path), buf_span(content), 0644, reterr);
	buf_free(&path);
	return rc;
}

static int write_users(const struct host_setup *s, const struct target *t, struct err *reterr)
{
	struct buf content = { 0 };
	int rc = file_read("/etc/passwd", FILE_BYTES_MAX, &content, reterr);

	for (uint32_t i = 0; i < t->users.count; i++) {
		uid_t uid;
		gid_t gid;
		if (getpwnam(t->users.items[i]) == NULL && find_user(t, t->users.items[i], &uid, &gid))
			buf_addf(&content, "%s:x:%u:%u::/nonexistent:/usr/sbin/nologin\n", t->users.items[i],
				 (unsigned)uid, (unsigned)gid);
	}
	if (rc == 0)
		rc = put(s, "passwd", &content, reterr);
	buf_free(&content);
	return rc;
}

static void add_group(const struct target *t, const char *name, struct buf *content)
{
	gid_t gid;

	if (getgrnam(name) == NULL && find_group(t, name, &gid))
		buf_addf(content, "%s:x:%u:\n", name, (unsigned)gid);
}

static int write_groups(const struct host_setup *s, const struct target *t, struct err *reterr)
{
	struct buf content = { 0 };
	int rc = file_read("/etc/group", FILE_BYTES_MAX, &content, reterr);

	for (uint32_t i = 0; i < t->groups.count; i++)
		add_group(t, t->groups.items[i], &content);
	for (uint32_t i = 0; i < t->users.count; i++)
		add_group(t, t->users.items[i], &content);
	if (rc == 0)
		rc = put(s, "group", &content, reterr);
	buf_free(&content);
	return rc;
}

static int write_names(const struct host_setup *s, struct err *reterr)
{
	struct buf content = { 0 };
	char ip[56];

	buf_addf(&content, "nameserver %s\noptions timeout:1 attempts:1 trust-ad\n",
		 addr_format_ip(&s->dns, ip));
	int rc = put(s, "resolv.conf", &content, reterr);
	buf_reset(&content);
	buf_addf(&content, "127.0.0.1 localhost\n%s %s\n", addr_format_ip(&s->address, ip), s->flow->mx_name);
	if (rc == 0)
		rc = put(s, "hosts", &content, reterr);
	buf_reset(&content);
	buf_addf(&content, "%s\n", s->flow->mx_name);
	if (rc == 0)
		rc = put(s, "hostname", &content, reterr);
	if (rc == 0)
		rc = put(s, "mailname", &content, reterr);
	buf_reset(&content);
	buf_add_cstr(&content,
		     "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n");
	if (rc == 0)
		rc = put(s, "nsswitch.conf", &content, reterr);
	buf_free(&content);
	return rc;
}

/* The run's authority and no other: nothing else is in this network. */
static int write_trust(const struct host_setup *s, struct err *reterr)
{
	struct buf content = { 0 };
	int rc = file_read(s->ca_path, FILE_BYTES_MAX, &content, reterr);

	if (rc == 0)
		rc = put(s, "ssl/certs/ca-certificates.crt", &content, reterr);
	buf_free(&content);
	return rc;
}

int host_users_write_etc(const struct host_setup *s, const struct target *t, struct err *reterr)
{
	char dir[PATH_MAX];
	(void)snprintf(dir, sizeof(dir), "%s/etc-layer/ssl/certs", s->dir);
	int rc = dir_make(dir, 0755, reterr);

	if (rc == 0)
		rc = write_names(s, reterr);
	if (rc == 0)
		rc = write_users(s, t, reterr);
	if (rc == 0)
		rc = write_groups(s, t, reterr);
	return rc == 0 ? write_trust(s, reterr) : rc;
}
