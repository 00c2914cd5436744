#include "harness/load/reach.h"

#include <errno.h>

int reach_check(const struct addr *to, bool allow_remote, struct err *reterr)
{
	if (allow_remote || addr_is_loopback(to))
		return 0;
	char text[56];
	return err_set(reterr, -EPERM, "%s is not on this machine; remote hosts need --allow-remote",
		       addr_format(to, text));
}
