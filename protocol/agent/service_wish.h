/*
 * service_wish.h - the arguments of a start, read and owned: both dialects have the same.
 */
#ifndef VSOCKFS_AGENT_SERVICE_WISH_H
#define VSOCKFS_AGENT_SERVICE_WISH_H

#include "protocol/agent/request.h"
#include "protocol/agent/service.h"

struct service_wish {
	char *name, *command, *cwd, *host_cwd;
	char **env;
	char mark[64];
	json_t *readiness; /* a copy */
	struct probe probe;
	int64_t timeout_ms, interval_ms;
};

/* Zero it before; service_wish_free it also after an error. */
int service_wish_read(const struct request *request, struct service_wish *wish, struct error *err);
void service_wish_free(struct service_wish *wish);
/* Points into WISH. */
struct service_spec service_wish_spec(const struct service_wish *wish);

#endif
