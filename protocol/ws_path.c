/*
 * ws_path.c - see ws_path.h.
 */
#include "protocol/ws_path.h"

#include <errno.h>
#include <string.h>

#include "protocol/limits.h"
#include "protocol/workspace.h"

static bool is_dots(const char *name, size_t len)
{
	return len && len <= 2 && name[0] == '.' && name[len - 1] == '.';
}

static int check_name(const char *name, size_t len, struct error *err)
{
	if (!len || is_dots(name, len))
		return error_set(err, EINVAL, "a path has an empty, \".\" or \"..\" component");
	if (len > LIMIT_NAME)
		return error_set(err, ENAMETOOLONG, "a name has more than %d bytes", LIMIT_NAME);
	return 0;
}

bool ws_path_is_private(const char *path)
{
	return !strncmp(path, WS_PRIVATE_PREFIX, strlen(WS_PRIVATE_PREFIX));
}

bool ws_path_is_name(const char *name, size_t len)
{
	return len && len <= LIMIT_NAME && !is_dots(name, len) && !memchr(name, '/', len) &&
	       !memchr(name, '\0', len);
}

int ws_path_check(const char *path, enum ws_path_use use, struct error *err)
{
	const char *name = path;
	int rc = 0;

	if (!*path)
		return use == WS_PATH_CREATE ?
			       error_set(err, EEXIST, "the workspace itself exists") :
			       0;
	if (strlen(path) >= LIMIT_PATH)
		return error_set(err, ENAMETOOLONG, "a path has more than %d bytes",
				 LIMIT_PATH - 1);
	if (ws_path_is_private(path))
		return use == WS_PATH_CREATE ?
			       error_set(err, EPERM, "names that begin with %s are vsockfs's own",
					 WS_PRIVATE_PREFIX) :
			       error_set(err, ENOENT, "there is no such file");
	while (!rc && name) {
		const char *slash = strchrnul(name, '/');

		rc = check_name(name, (size_t)(slash - name), err);
		name = *slash ? slash + 1 : NULL;
	}
	return rc;
}
