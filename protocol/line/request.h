/*
 * request.h - building a request of the line dialect, key by key.  Internal
 * to protocol/line/.
 *
 * The keys go out in the order of the calls.  The first problem is latched and
 * what follows adds nothing: the result is tested once, in request_run.
 */
#ifndef VSOCKFS_LINE_REQUEST_H
#define VSOCKFS_LINE_REQUEST_H

#include "protocol/line/exchange.h"

struct request {
	struct exchange_request exchange;
	struct error *err;
	int rc; /* the first problem */
};

/* Starts a request for ACTION; NULL for exec, which has none. */
void request_init(struct request *request, const char *action, struct error *err);

/* NULL stands for JSON null. */
void request_text(struct request *request, const char *key, const char *text);
void request_bytes(struct request *request, const char *key, const char *bytes, size_t len);
void request_int(struct request *request, const char *key, int64_t value);
void request_bool(struct request *request, const char *key, bool value);

/* A number that must be from MIN to MAX (-EINVAL). */
void request_range(struct request *request, const char *key, int64_t value, int64_t min,
		   int64_t max);

/* The name of a shell or service: [A-Za-z0-9][A-Za-z0-9._-]{0,63} (-EINVAL). */
void request_name(struct request *request, const char *key, const char *name);

/* {NAME: VALUE, ...}; empty where there are none.  A bad NAME, or too many, is -EINVAL. */
void request_env(struct request *request, const struct line_env *env, size_t count);

/* VALUE's reference is taken over; NULL means that memory ran out. */
void request_add(struct request *request, const char *key, json_t *value);

/* The payload is taken over.  It must not be empty (-EINVAL) or over LIMIT_ARCHIVE_SIZE (-EFBIG). */
void request_payload(struct request *request, struct line_payload payload);

/* Latches an error of the caller's own. */
void request_fail(struct request *request, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Sends what was built, or returns the latched problem.  REQUEST is empty afterwards. */
int request_run(struct request *request, struct guest *guest, const struct call *call,
		json_t **reply);

/* Gives up a request that was built but is not run. */
int request_drop(struct request *request);

/* Releases whatever a payload holds; for those who took one over. */
void line_payload_destroy(struct line_payload *payload);

#endif
