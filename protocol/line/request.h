/*
 * request.h - building a request of the line dialect, key by key.  Internal
 * to protocol/line/.
 *
 * The keys go out in the order of the calls.  The first problem is latched and
 * what follows adds nothing: the result is tested once, in line_request_run.
 */
#ifndef VSOCKFS_LINE_REQUEST_H
#define VSOCKFS_LINE_REQUEST_H

#include "protocol/line/exchange.h"

struct line_request {
	struct exchange_request exchange;
	struct error *err;
	int rc; /* the first problem */
};

/* Starts a request for ACTION; NULL for exec, which has none. */
void line_request_init(struct line_request *request, const char *action, struct error *err);

/* NULL stands for JSON null. */
void line_request_text(struct line_request *request, const char *key, const char *text);
void line_request_bytes(struct line_request *request, const char *key, const char *bytes,
			size_t len);
void line_request_int(struct line_request *request, const char *key, int64_t value);
void line_request_bool(struct line_request *request, const char *key, bool value);

/* A number that must be from MIN to MAX (-EINVAL). */
void line_request_range(struct line_request *request, const char *key, int64_t value, int64_t min,
			int64_t max);

/* The name of a shell or service: [A-Za-z0-9][A-Za-z0-9._-]{0,63} (-EINVAL). */
void line_request_name(struct line_request *request, const char *key, const char *name);

/* {NAME: VALUE, ...}; empty where there are none.  A bad NAME, or too many, is -EINVAL. */
void line_request_env(struct line_request *request, const struct line_env *env, size_t count);

/* VALUE's reference is taken over; NULL means that memory ran out. */
void line_request_add(struct line_request *request, const char *key, json_t *value);

/*
 * The payload is taken over.  It must not be empty (-EINVAL) or over LIMIT_ARCHIVE_SIZE (-EFBIG).
 */
void line_request_payload(struct line_request *request, struct line_payload payload);

/* Latches an error of the caller's own. */
void line_request_fail(struct line_request *request, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Sends what was built, or returns the latched problem.  REQUEST is empty afterwards. */
int line_request_run(struct line_request *request, struct guest *guest, const struct call *call,
		     json_t **reply);

/* Gives up a request that was built but is not run. */
int line_request_drop(struct line_request *request);

/* Releases whatever a payload holds; for those who took one over. */
void line_payload_destroy(struct line_payload *payload);

#endif
