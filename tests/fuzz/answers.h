/*
 * answers.h - what the callers of workspace.h and process.h may count on, whatever a guest has
 * answered, over either dialect.
 */
#ifndef VSOCKFS_TESTS_FUZZ_ANSWERS_H
#define VSOCKFS_TESTS_FUZZ_ANSWERS_H

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/process.h"
#include "protocol/workspace.h"
#include "tests/fuzz/require.h"

/* Whether there is an answer to look at; a refusal has its sentence. */
static inline bool taken(ssize_t rc, const struct error *err)
{
	if (rc >= 0)
		return true;
	REQUIRE(rc > -4096 && err->code == -rc && err->text[0]);
	return false;
}

static inline void name_is_sane(const char *name)
{
	size_t len = strlen(name);

	REQUIRE(len && len <= LIMIT_NAME && !strchr(name, '/') && strcmp(name, ".") != 0 &&
		strcmp(name, "..") != 0);
}

static inline void sizes_are_sane(const struct ws_attr *attr)
{
	REQUIRE(attr->size >= 0 && attr->blocks >= 0);
}

static inline void time_is_sane(double seconds)
{
	REQUIRE(isfinite(seconds) && seconds >= 0 && seconds < 1e12);
}

static inline void service_is_sane(const struct proc_service *service)
{
	REQUIRE(service->command && service->cwd && service->pid >= 0);
	REQUIRE(service->out_size >= 0 && service->err_size >= 0);
	time_is_sane(service->started_at);
	time_is_sane(service->ready_at);
	time_is_sane(service->ended_at);
}

#endif
