/*
 * settings.c - see settings.h.
 */
#include "ctl/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "protocol/cleanup.h"

void settings_free(struct settings *settings)
{
	for (size_t i = 0; i < settings->env_count; i++) {
		free((char *)settings->env[i].name);
		free((char *)settings->env[i].value);
	}
	free(settings->env);
	free(settings->cwd);
	*settings = (struct settings){ 0 };
}

int settings_cwd(struct settings *settings, const char *dir, struct error *err)
{
	char *copy;

	if (dir[0] != '/')
		return error_set(err, EINVAL,
				 "'%.80s' is not absolute; give the directory as the guest "
				 "has it, such as /workspace/src",
				 dir);
	if (strlen(dir) >= LIMIT_PATH)
		return error_set(err, EINVAL, "the directory is longer than %d bytes", LIMIT_PATH);
	copy = strdup(dir);
	if (!copy)
		return error_set(err, ENOMEM, "out of memory");
	free(settings->cwd);
	settings->cwd = copy;
	return 0;
}

/* [A-Za-z_][A-Za-z0-9_]{0,63}, the whole LEN bytes. */
static bool good_name(const char *name, size_t len)
{
	if (len == 0 || len > LIMIT_ENV_NAME)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return true;
}

/* The slot for NAME, grown by one where there is none yet; NULL without memory. */
static struct proc_env *slot_for(struct settings *settings, const char *name)
{
	struct proc_env *grown;

	for (size_t i = 0; i < settings->env_count; i++)
		if (strcmp(settings->env[i].name, name) == 0)
			return &settings->env[i];
	grown = realloc(settings->env, (settings->env_count + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	settings->env = grown;
	grown[settings->env_count] = (struct proc_env){ 0 };
	return &grown[settings->env_count];
}

int settings_env(struct settings *settings, const char *assignment, struct error *err)
{
	const char *equals = strchr(assignment, '=');
	autofree char *name = NULL;
	autofree char *value = NULL;
	struct proc_env *slot;

	if (!equals || !good_name(assignment, (size_t)(equals - assignment)))
		return error_set(err, EINVAL,
				 "'%.80s' is not NAME=VALUE with a name of up to %d letters, "
				 "digits and '_'",
				 assignment, LIMIT_ENV_NAME);
	name = strndup(assignment, (size_t)(equals - assignment));
	value = strdup(equals + 1);
	slot = name && value ? slot_for(settings, name) : NULL;
	if (!slot)
		return error_set(err, ENOMEM, "out of memory");
	if (slot == settings->env + settings->env_count) {
		if (settings->env_count >= LIMIT_ENV_VALUES)
			return error_set(err, ENOSPC, "more than %d variables", LIMIT_ENV_VALUES);
		slot->name = move_ptr(name);
		settings->env_count++;
	}
	free((char *)slot->value);
	slot->value = move_ptr(value);
	return 0;
}

void settings_print(const struct settings *settings, struct buf *out)
{
	if (settings->cwd) {
		buf_adds(out, "cwd ");
		cmd_quote(out, settings->cwd);
		buf_adds(out, "\n");
	}
	for (size_t i = 0; i < settings->env_count; i++) {
		autobuf struct buf pair = BUF_INIT((size_t)LIMIT_CTL_LINE * 2);

		buf_addf(&pair, "%s=%s", settings->env[i].name, settings->env[i].value);
		buf_adds(out, "env ");
		cmd_quote(out, buf_str(&pair));
		buf_adds(out, "\n");
	}
}

const char *settings_dir(const struct settings *settings)
{
	return settings->cwd ? settings->cwd : "/workspace";
}

struct proc_settings settings_proc(const struct settings *settings)
{
	return (struct proc_settings){
		.cwd = settings->cwd,
		.env = settings->env,
		.env_count = settings->env_count,
	};
}
