/*
 * service_record.h - what is known of a service, in memory, in replies and in
 * RUN/pyro-services/NAME.json, where the next agent finds it.
 */
#ifndef VSOCKFS_AGENT_SERVICE_RECORD_H
#define VSOCKFS_AGENT_SERVICE_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "protocol/agent/request.h"
#include "protocol/error.h"

enum service_state { SERVICE_STOPPED, SERVICE_RUNNING, SERVICE_EXITED, SERVICE_FAILED };

struct service_record {
	char name[LIMIT_ENTITY_NAME + 1];
	char *command, *cwd; /* owned */
	enum service_state state;
	double started_at, ready_at, ended_at; /* 0: not yet */
	bool has_exit_code;
	int exit_code;
	pid_t pid;
	json_t *readiness;       /* owned; NULL for none */
	const char *stop_reason; /* a literal; NULL for none */

	/* Not part of the dialect: they tell the process from another with its number. */
	unsigned long long pid_started; /* kin_start_time() */
	char mark[64];                  /* VSOCKFS_SERVICE=..., in its environment */
};

void service_record_free(struct service_record *record);

/* The SERVICE fields of a reply, in order. */
void service_record_reply(const struct service_record *record, struct reply *reply);

/* Replaces NAME.json in the directory DIR. */
int service_record_save(const struct service_record *record, int dir);
/* -ENOENT where there is none, -EBADMSG where it makes no sense. */
int service_record_load(int dir, const char *name, struct service_record *out);

/* Copies what has an owner too. */
int service_record_copy(const struct service_record *from, struct service_record *to);

#endif
