/*
 * mountpoint.c - checks on the directory to mount on.
 */
#include "fs/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/cleanup.h"

#define OUR_TYPE "fuse.vsockfs"

/* Decodes mountinfo's \NNN in place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from;) {
		unsigned value;

		if (*from == '\\' && sscanf(from + 1, "%3o", &value) == 1) {
			*to++ = (char)value;
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

/* Whether the last mount at PATH is one of ours. */
static bool is_ours(const char *path)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	autofree char *line = NULL;
	size_t room = 0;
	bool ours = false;

	if (!mounts)
		return false;
	while (getline(&line, &room, mounts) > 0) {
		char *separator = strstr(line, " - "), *rest = line, *field = NULL;

		for (int i = 0; i < 5 && rest; i++)
			field = strsep(&rest, " ");
		if (!field || !separator)
			continue;
		unescape(field);
		if (!strcmp(field, path))
			ours = !strncmp(separator + 3, OUR_TYPE " ", strlen(OUR_TYPE) + 1);
	}
	fclose(mounts);
	return ours;
}

static int check_empty(const char *path, struct error *err)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool empty = true;

	if (!dir)
		return error_set(err, errno, "cannot look into the mount point %s: %s", path,
				 strerror(errno));
	while (empty && (entry = readdir(dir)))
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	closedir(dir);
	if (!empty)
		return error_set(err, ENOTEMPTY,
				 "the mount point %s is not empty; mount on an empty directory, or "
				 "hide what is in it for that time with -o nonempty",
				 path);
	return 0;
}

int mountpoint_check(const char *path, bool nonempty, char **out, struct error *err)
{
	autofree char *full = realpath(path, NULL);
	struct stat st;
	bool there = full && !stat(full, &st);

	if (!there && errno == ENOTCONN)
		return error_set(err, ENOTCONN,
				 "a mount whose daemon has ended is still at %s; "
				 "remove it with: fusermount3 -u %s",
				 path, path);
	if (!there && errno == ENOENT)
		return error_set(err, ENOENT,
				 "the mount point %s does not exist; make it with: "
				 "mkdir %s",
				 path, path);
	if (!there)
		return error_set(err, errno, "the mount point %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "the mount point %s is not a directory", path);
	if (is_ours(full))
		return error_set(err, EBUSY,
				 "%s has a vsockfs mount already; end it with: "
				 "fusermount3 -u %s",
				 path, path);
	if (!nonempty) {
		int rc = check_empty(full, err);

		if (rc)
			return rc;
	}
	*out = move_ptr(full);
	return 0;
}
