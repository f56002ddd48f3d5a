/*
 * symlink.c - the containment policy for symbolic links.
 *
 * The target is walked component by component, keeping where it stands: UP
 * levels above the link's directory, then down a stack of names.
 */
#include "fs/symlink.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "protocol/limits.h"

#define WORKSPACE "workspace"

struct walk {
	const char *dir;
	size_t depth, up;
	char down[LIMIT_PATH + 1]; /* names below, joined with slashes */
	size_t len;
	size_t real; /* so many bytes of down are known to be directories and no links */
	symlink_is_dir_fn is_dir;
	void *arg;
};

static size_t depth_of(const char *dir)
{
	size_t depth = *dir != '\0';

	for (; *dir; dir++)
		depth += *dir == '/';
	return depth;
}

/* The next component of *REST, which moves on; its length, 0 at the end. */
static size_t next_component(const char **rest, const char **component)
{
	size_t len;

	*rest += strspn(*rest, "/");
	*component = *rest;
	len = strcspn(*rest, "/");
	*rest += len;
	return len;
}

static bool is(const char *component, size_t len, const char *text)
{
	return len == strlen(text) && !memcmp(component, text, len);
}

/* Where the first DOWN bytes of the walk's names lead, as a path below the workspace. */
static int position(const struct walk *walk, size_t down, char path[LIMIT_PATH + 1])
{
	size_t keep = strlen(walk->dir);
	int len;

	for (size_t i = 0; i < walk->up; i++) {
		while (keep && walk->dir[keep - 1] != '/')
			keep--;
		if (keep)
			keep--;
	}
	len = snprintf(path, LIMIT_PATH + 1, "%.*s%s%.*s", (int)keep, walk->dir, keep ? "/" : "",
		       (int)down, walk->down);
	return len > (int)LIMIT_PATH ? -ENAMETOOLONG : 0;
}

static int push(struct walk *walk, const char *name, size_t len)
{
	if (walk->len + 1 + len > LIMIT_PATH)
		return -ENAMETOOLONG;
	if (walk->len)
		walk->down[walk->len++] = '/';
	memcpy(walk->down + walk->len, name, len);
	walk->len += len;
	walk->down[walk->len] = '\0';
	return 0;
}

/*
 * Whether all of the names are directories: only then is it known where ".." leads.  A link
 * in the middle would make the next name another directory's child.
 */
static int check_real(struct walk *walk)
{
	char path[LIMIT_PATH + 1];

	while (walk->real < walk->len) {
		size_t end = walk->real + (walk->real > 0); /* behind the slash */
		int rc;

		while (end < walk->len && walk->down[end] != '/')
			end++;
		rc = position(walk, end, path);
		if (!rc)
			rc = walk->is_dir(walk->arg, path);
		if (rc <= 0)
			return rc ? rc : -EACCES;
		walk->real = end;
	}
	return 0;
}

/* ".." */
static int ascend(struct walk *walk)
{
	int rc;

	if (!walk->len)
		return ++walk->up > walk->depth ? -EACCES : 0;
	rc = check_real(walk);
	if (rc)
		return rc;
	while (walk->len && walk->down[walk->len - 1] != '/')
		walk->len--;
	if (walk->len)
		walk->len--;
	walk->down[walk->len] = '\0';
	walk->real = walk->len;
	return 0;
}

/* Whether the text may stay as it is: relative, and ".." only in front. */
static bool is_plain(const char *target, size_t depth)
{
	const char *rest = target, *component;
	size_t len, up = 0;
	bool down = false;

	if (*target == '/')
		return false;
	while ((len = next_component(&rest, &component))) {
		bool ascends = is(component, len, "..");

		if (ascends && (down || ++up > depth))
			return false;
		if (!ascends && !is(component, len, "."))
			down = true;
	}
	return true;
}

static int print(const struct walk *walk, bool slash, char *out, size_t size)
{
	size_t len = 0;
	int rest;

	for (size_t i = 0; i < walk->up; i++) {
		const char *step = i + 1 < walk->up || walk->len ? "../" : "..";

		if (len + strlen(step) >= size)
			return -ENAMETOOLONG;
		memcpy(out + len, step, strlen(step));
		len += strlen(step);
	}
	rest = snprintf(out + len, size - len, "%s%s", walk->len || walk->up ? walk->down : ".",
			slash && walk->len ? "/" : "");
	return (size_t)rest >= size - len ? -ENAMETOOLONG : 0;
}

int symlink_contain(const char *target, const char *dir, symlink_is_dir_fn is_dir, void *arg,
		    char *out, size_t size)
{
	struct walk walk = { .dir = dir, .depth = depth_of(dir), .is_dir = is_dir, .arg = arg };
	const char *rest = target, *component;
	size_t len;
	int rc = 0;

	if (!*target)
		return -EACCES;
	if (is_plain(target, walk.depth))
		return (size_t)snprintf(out, size, "%s", target) >= size ? -ENAMETOOLONG : 0;
	if (*target == '/') {
		do
			len = next_component(&rest, &component);
		while (is(component, len, "."));
		if (!is(component, len, WORKSPACE))
			return -EACCES;
		walk.up = walk.depth;
	}
	while (!rc && (len = next_component(&rest, &component))) {
		if (is(component, len, ".."))
			rc = ascend(&walk);
		else if (!is(component, len, "."))
			rc = push(&walk, component, len);
	}
	return rc ? rc : print(&walk, rest > target && rest[-1] == '/', out, size);
}
