/* environment.c - see environment.h. */
#include "protocol/agent/environment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/agent/name.h"
#include "protocol/cleanup.h"
#include "protocol/wire.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Our own environment and EXTRA come from people who can be trusted with its size. */
struct list {
	char **items;
	size_t count, room;
};

size_t environment_size(char *const *env)
{
	size_t size = 0;

	for (; env && *env; env++)
		size += strlen(*env) + 1;
	return size;
}

void environment_free(char **env)
{
	for (size_t i = 0; env && env[i]; i++)
		free(env[i]);
	free(env);
}

static void list_free(struct list *list)
{
	environment_free(list->items);
}

static size_t name_length(const char *item)
{
	return strcspn(item, "=");
}

static char **find(const struct list *list, const char *name, size_t len)
{
	for (size_t i = 0; i < list->count; i++) {
		if (name_length(list->items[i]) == len && !strncmp(list->items[i], name, len))
			return &list->items[i];
	}
	return NULL;
}

/* Takes ITEM (NAME=VALUE, may be NULL after a failed allocation) over. */
static int set(struct list *list, char *item)
{
	char **slot = item ? find(list, item, name_length(item)) : NULL;

	if (!item)
		return -ENOMEM;
	if (slot) {
		free(*slot);
		*slot = item;
		return 0;
	}
	if (list->count + 1 >= list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		char **items = realloc(list->items, room * sizeof(*items));

		if (!items) {
			free(item);
			return -ENOMEM;
		}
		list->items = items;
		list->room = room;
	}
	list->items[list->count++] = item;
	list->items[list->count] = NULL;
	return 0;
}

static int set_default(struct list *list, const char *item)
{
	return find(list, item, name_length(item)) ? 0 : set(list, strdup(item));
}

/* There may be no /etc/passwd to ask. */
static const char *home(void)
{
	return getuid() == 0 && access("/root", X_OK) == 0 ? "HOME=/root" : "HOME=/";
}

static int add_requested(struct list *list, const json_t *env, struct error *err)
{
	const char *name;
	json_t *value;

	if (!env || json_is_null(env))
		return 0;
	if (!json_is_object(env))
		return error_set(err, EINVAL, "env must be an object");
	if (json_object_size(env) > LIMIT_ENV_VALUES)
		return error_set(err, E2BIG, "env has more than %d variables", LIMIT_ENV_VALUES);
	json_object_foreach ((json_t *)env, name, value) {
		autofree char *bytes = NULL;
		char *item;
		size_t len;

		if (!name_is_variable(name))
			return error_set(err, EINVAL,
					 "env: '%s' is no name: use [A-Za-z_][A-Za-z0-9_]{0,63}",
					 name);
		if (!json_is_string(value))
			return error_set(err, EINVAL, "env: the value of %s must be a string",
					 name);
		bytes = wire_bytes(value, &len);
		if (bytes && strlen(bytes) != len)
			return error_set(err, EINVAL, "env: the value of %s contains a NUL", name);
		if (!bytes || asprintf(&item, "%s=%s", name, bytes) < 0 || set(list, item) < 0)
			return error_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

int environment_make(const struct request *request, const char *const *extra, char ***out,
		     struct error *err)
{
	__attribute__((cleanup(list_free))) struct list list = { 0 };
	int rc = 0;

	/* First, so that session.c finds the mark of a service without reading far. */
	for (; rc == 0 && extra && *extra; extra++)
		rc = set(&list, strdup(*extra));
	for (char **item = environ; rc == 0 && *item; item++) {
		if (strchr(*item, '='))
			rc = set_default(&list, *item);
	}
	if (rc == 0)
		rc = set_default(&list, DEFAULT_PATH);
	if (rc == 0)
		rc = set_default(&list, home());
	if (rc == 0)
		rc = set_default(&list, "LANG=C.UTF-8");
	if (rc < 0)
		return error_set(err, ENOMEM, "out of memory");
	rc = add_requested(&list, json_object_get(request->object, "env"), err);
	if (rc < 0)
		return rc;
	*out = move_ptr(list.items);
	return 0;
}

const char *environment_get(char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++) {
		if (name_length(*env) == len && !strncmp(*env, name, len))
			return *env + len + 1;
	}
	return NULL;
}
