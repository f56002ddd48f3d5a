/*
 * line.h - the line dialect's actions as typed calls, one function each.
 *
 * One request a connection (docs/protocol.md, part 1).  Every function waits at
 * the guest's connection gate, connects, sends one request, reads the whole reply
 * and closes; it returns 0 or a negative errno with a sentence:
 *   -ENOTCONN    the guest is gone (at once) or refuses connections
 *   -ETIMEDOUT   CALL's deadline passed; the reply is read to its end elsewhere
 *   -EINTR       CALL was cancelled; likewise
 *   -EPROTO      what came is no valid reply
 *   -EREMOTEIO   the agent answered {"error": TEXT}: err->text is TEXT exactly
 *   -E2BIG       the request is over LIMIT_REQUEST_LINE
 *   -EINVAL      an argument the protocol does not allow
 * Strings in requests and replies are bytes; bytes that are not UTF-8 travel
 * as lone surrogates (\udc80..\udcff) in both directions.
 *
 * Replies are plain structs.  A reply that was filled is given to its _free
 * function, also after an error (all of them accept a zeroed struct).
 */
#ifndef VSOCKFS_LINE_H
#define VSOCKFS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/call.h"
#include "protocol/error.h"
#include "protocol/guest.h"

/* A string of bytes from a reply; data is NUL-terminated and owned, never NULL once filled. */
struct line_text {
	char *data;
	size_t len;
};

struct line_env {
	const char *name;
	const char *value;
};

/* exec */
struct line_exec {
	const char *command; /* run by /bin/sh -lc; give it </dev/null */
	int timeout_seconds; /* the agent's own limit; CALL's deadline must be later */
	const struct line_env *env;
	size_t env_count;
};

struct line_exec_reply {
	struct line_text out, err;
	int64_t exit_code; /* -1 where missing */
	int64_t duration_ms;
};

int line_exec(struct guest *guest, const struct call *call, const struct line_exec *in,
	      struct line_exec_reply *out, struct error *err);
void line_exec_reply_free(struct line_exec_reply *reply);

/*
 * What goes with an upload: SIZE bytes, read in order.  The exchange takes
 * the payload over, also on failure, and calls destroy once when it is done with
 * it, which may be after the call has returned.  read may come from any
 * thread, one at a time; it returns bytes read (never 0 before SIZE) or a negative errno,
 * upon which zeros are sent in its place and the call fails with that errno.
 */
struct line_payload {
	int64_t size;
	void *arg;
	ssize_t (*read)(void *arg, void *bytes, size_t len);
	void (*destroy)(void *arg);
};

/* Payloads from memory (copied) and from LENGTH bytes of FD at OFFSET (fd is duplicated). */
int line_payload_from_memory(struct line_payload *out, const void *bytes, size_t len,
			     struct error *err);
int line_payload_from_fd(struct line_payload *out, int fd, int64_t offset, int64_t length,
			 struct error *err);

struct line_archive_reply {
	struct line_text path; /* destination or workspace_path */
	char artifact_type[16];
	int64_t archive_size, entry_count, bytes_written;
};
void line_archive_reply_free(struct line_archive_reply *reply);

int line_extract_archive(struct guest *guest, const struct call *call, const char *destination,
			 struct line_payload payload, struct line_archive_reply *out,
			 struct error *err);
int line_install_secrets(struct guest *guest, const struct call *call, struct line_payload payload,
			 struct line_archive_reply *out, struct error *err);

/*
 * Exports PATH.  SINK gets the tar's bytes as they come, on the calling
 * thread; a negative errno from it ends the call with that errno (the rest is
 * drained elsewhere).  MAX_SIZE is checked against archive_size before
 * the first byte is taken (-EFBIG).  CALL's deadline is moved on with every byte
 * that comes: it limits silence, not size.
 */
int line_export_archive(struct guest *guest, const struct call *call, const char *path,
			int64_t max_size, int (*sink)(void *arg, const void *bytes, size_t len),
			void *arg, struct line_archive_reply *out, struct error *err);

/* workspace file actions */
struct line_entry {
	struct line_text path;
	char artifact_type[16];
	int64_t size_bytes;
	struct line_text link_target; /* "" where null */
};

struct line_listing {
	struct line_text path;
	char artifact_type[16];
	struct line_entry *entries;
	size_t count;
};

int line_list_workspace(struct guest *guest, const struct call *call, const char *path,
			bool recursive, struct line_listing *out, struct error *err);
void line_listing_free(struct line_listing *listing);

struct line_file_reply {
	struct line_text path;
	struct line_text content; /* of a read, decoded */
	int64_t size_bytes, bytes_written;
	bool deleted;
};
void line_file_reply_free(struct line_file_reply *reply);

int line_read_file(struct guest *guest, const struct call *call, const char *path,
		   int64_t max_bytes, struct line_file_reply *out, struct error *err);
int line_write_file(struct guest *guest, const struct call *call, const char *path,
		    const char *text, size_t len, struct line_file_reply *out, struct error *err);
int line_delete_path(struct guest *guest, const struct call *call, const char *path,
		     struct line_file_reply *out, struct error *err);

/* shells */
struct line_shell {
	char shell_id[LIMIT_ENTITY_NAME + 1];
	struct line_text cwd;
	int64_t cols, rows;
	char state[16];
	double started_at, ended_at; /* seconds since the epoch; 0 for null */
	bool has_exit_code;
	int64_t exit_code;
	/* read_shell */
	int64_t cursor, next_cursor; /* characters, not bytes */
	struct line_text output;
	bool truncated;
	/* write_shell */
	int64_t input_length;
	/* close_shell */
	bool closed;
};
void line_shell_free(struct line_shell *shell);

struct line_shell_open {
	const char *shell_id;
	const char *cwd; /* absolute, in the guest */
	int cols, rows;
	const struct line_env *env;
	size_t env_count;
	const char *const *redact_values;
	size_t redact_count;
};

int line_open_shell(struct guest *guest, const struct call *call, const struct line_shell_open *in,
		    struct line_shell *out, struct error *err);
int line_read_shell(struct guest *guest, const struct call *call, const char *shell_id,
		    int64_t cursor, int64_t max_chars, struct line_shell *out, struct error *err);
/* One request: at most LIMIT_SHELL_WRITE bytes of whole characters; more is -EINVAL. */
int line_write_shell(struct guest *guest, const struct call *call, const char *shell_id,
		     const char *input, size_t len, bool append_newline, struct line_shell *out,
		     struct error *err);
int line_signal_shell(struct guest *guest, const struct call *call, const char *shell_id,
		      const char *signal, struct line_shell *out, struct error *err);
int line_close_shell(struct guest *guest, const struct call *call, const char *shell_id,
		     struct line_shell *out, struct error *err);

/* services */
enum line_readiness_kind {
	LINE_READY_NONE,
	LINE_READY_FILE,
	LINE_READY_TCP,
	LINE_READY_HTTP,
	LINE_READY_COMMAND
};

struct line_readiness {
	enum line_readiness_kind kind;
	const char *value; /* path, HOST:PORT, URL or command; NULL for none */
};

struct line_service_start {
	const char *name, *command, *cwd;
	struct line_readiness readiness;
	int ready_timeout_seconds, ready_interval_ms;
	const struct line_env *env;
	size_t env_count;
};

struct line_service {
	char name[LIMIT_ENTITY_NAME + 1];
	struct line_text command, cwd;
	char state[16];
	double started_at, ready_at, ended_at; /* 0 for null */
	bool has_exit_code;
	int64_t exit_code;
	int64_t pid;
	enum line_readiness_kind readiness;
	struct line_text readiness_value;
	char stop_reason[32]; /* "" for null */
	/* logs_service */
	struct line_text out, err;
	int64_t tail_lines;
	bool truncated;
};
void line_service_free(struct line_service *service);

int line_start_service(struct guest *guest, const struct call *call,
		       const struct line_service_start *in, struct line_service *out,
		       struct error *err);
int line_status_service(struct guest *guest, const struct call *call, const char *name,
			struct line_service *out, struct error *err);
/* TAIL_LINES < 0 asks for everything. */
int line_logs_service(struct guest *guest, const struct call *call, const char *name,
		      int64_t tail_lines, struct line_service *out, struct error *err);
int line_stop_service(struct guest *guest, const struct call *call, const char *name,
		      struct line_service *out, struct error *err);

#endif
