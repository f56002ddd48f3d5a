/*
 * settings.h - what services, shells and commands run with: directory and environment.
 *
 * The caller guards a settings struct (the object's verb lock for writers,
 * and object->lock around changes for those who print).
 */
#ifndef VSOCKFS_CTL_SETTINGS_H
#define VSOCKFS_CTL_SETTINGS_H

#include "protocol/buf.h"
#include "protocol/error.h"
#include "protocol/process.h"

struct settings {
	char *cwd;            /* owned; NULL: /workspace */
	struct proc_env *env; /* owned, names and values too; in the order they were set */
	size_t env_count;
};

void settings_free(struct settings *settings);

/* -EINVAL unless DIR is absolute. */
int settings_cwd(struct settings *settings, const char *dir, struct error *err);

/* NAME=VALUE; a name that is there gets the new value.  -EINVAL, -ENOSPC over LIMIT_ENV_VALUES. */
int settings_env(struct settings *settings, const char *assignment, struct error *err);

/* The lines that give these settings again. */
void settings_print(const struct settings *settings, struct buf *out);

/* The same, as process.h takes them; borrows from SETTINGS. */
struct proc_settings settings_proc(const struct settings *settings);

const char *settings_dir(const struct settings *settings);

#endif
