/*
 * proc_command.c - detached commands: started, asked for, signalled and forgotten by one short
 * exec each.  The scripts are in proc_command_script.h.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"
#include "protocol/line/line.h"
#include "protocol/line/proc_command_script.h"
#include "protocol/line/proc_input.h"
#include "protocol/line/proc_room.h"
#include "protocol/line/proc_undo.h"
#include "protocol/workspace.h"

#define FIXED_VARIABLES 10 /* what the start script takes at most */
#define MAX_TIMEOUT (10 * 365 * 86400.0)

struct lproc_command {
	struct guest *guest;
	char dir[96]; /* its directory in the guest */
	int64_t pid;
};

/* What one start needs; everything is released by start_free. */
struct start {
	struct guest *guest;
	char name[32]; /* of the directory */
	char upload[96], limit[32], exact[32];
	struct buf wrapper, input; /* input: in base64 */
	struct line_env *env;
	size_t env_count;
	char (*aliases)[32]; /* VSOCKFS_E0, ... */
};

static void start_free(struct start *start)
{
	buf_free(&start->wrapper);
	buf_free(&start->input);
	free(start->env);
	free(start->aliases);
}

static void start_add(struct start *start, const char *name, const char *value)
{
	start->env[start->env_count].name = name;
	start->env[start->env_count++].value = value;
}

/*
 * The user's variables travel under names of ours and get their own only in the process that
 * becomes the command: none of them can change what the scripts do.
 */
static int start_prepare(struct start *start, const char *command,
			 const struct proc_settings *settings, struct error *err)
{
	size_t count = settings->env_count;

	buf_init(&start->wrapper, LIMIT_REQUEST_LINE);
	start->env = calloc(count + FIXED_VARIABLES, sizeof(*start->env));
	start->aliases = calloc(count + 1, sizeof(*start->aliases));
	if (!start->env || !start->aliases)
		return error_set(err, ENOMEM, "out of memory");
	start_add(start, "VSOCKFS_K", guest_token(start->guest));
	start_add(start, "VSOCKFS_N", start->name);
	start_add(start, "VSOCKFS_D", proc_cwd(settings));
	start_add(start, "VSOCKFS_C", command);
	start_add(start, "VSOCKFS_S", PROC_SH_SUPERVISOR);
	buf_adds(&start->wrapper, PROC_SH_WRAPPER_HEAD);
	for (size_t i = 0; i < count; i++) {
		char *alias = start->aliases[i];

		snprintf(alias, sizeof(*start->aliases), "VSOCKFS_E%zu", i);
		start_add(start, alias, settings->env[i].value);
		buf_addf(&start->wrapper, "export %s=\"$%s\"; unset %s\n", settings->env[i].name,
			 alias, alias);
	}
	buf_adds(&start->wrapper, PROC_SH_WRAPPER_TAIL);
	if (start->wrapper.overflow)
		return error_set(err, E2BIG, "the variables of the command are too many");
	start_add(start, "VSOCKFS_W", buf_str(&start->wrapper));
	return 0;
}

static int start_input(struct start *start, const struct call *call, size_t command_len, int fd,
		       int64_t len, struct error *err)
{
	char stage[64];
	int rc;

	buf_init(&start->input, (size_t)2 * PROC_INPUT_INLINE);
	if (fd < 0 || len == 0)
		return 0;
	if (len <= PROC_INPUT_INLINE && command_len <= PROC_INPUT_INLINE) {
		rc = proc_input_inline(fd, len, &start->input, err);
		start_add(start, "VSOCKFS_I", buf_str(&start->input));
		return rc;
	}
	snprintf(stage, sizeof(stage), "/workspace/" WS_PRIVATE_PREFIX "%.32s",
		 guest_token(start->guest));
	snprintf(start->upload, sizeof(start->upload), "%s/%s", stage, start->name);
	rc = proc_input_upload(start->guest, call, stage, start->name, fd, len, err);
	start_add(start, "VSOCKFS_U", start->upload);
	return rc;
}

static void start_limit(struct start *start, double timeout)
{
	int64_t whole;

	if (!(timeout > 0))
		return;
	if (timeout > MAX_TIMEOUT)
		timeout = MAX_TIMEOUT;
	whole = (int64_t)timeout;
	if ((double)whole < timeout)
		whole++;
	snprintf(start->limit, sizeof(start->limit), "%" PRId64, whole);
	snprintf(start->exact, sizeof(start->exact), "%.3f", timeout);
	start_add(start, "VSOCKFS_T", start->limit);
	start_add(start, "VSOCKFS_F", start->exact);
}

static int start_refused(int64_t status, const struct proc_settings *settings, struct error *err)
{
	const char *cwd = proc_cwd(settings);

	switch (status) {
	case PROC_START_NO_ROOM:
		return error_set(err, ENOSPC,
				 "the guest has no room for a command's files in /run or /tmp");
	case PROC_START_NO_UPLOAD:
		return error_set(err, EIO,
				 "the command's input could not be put in place: is the "
				 "guest's /run or /tmp full?");
	case PROC_START_NO_BASE64:
		return error_set(err, EOPNOTSUPP,
				 "the command's input could not be decoded: the guest needs base64 "
				 "(coreutils or busybox) and room in /run or /tmp");
	case PROC_START_NO_CWD:
		return error_set(err, ENOENT, "the guest has no directory %s", cwd);
	case PROC_START_CWD_FILE:
		return error_set(err, ENOTDIR, "%s in the guest is not a directory", cwd);
	case PROC_START_CWD_DENIED:
		return error_set(err, EACCES, "%s in the guest cannot be entered", cwd);
	case PROC_START_NO_PROCESS:
		return error_set(err, EIO, "the guest did not bring the command to life");
	default:
		return error_set(err, EIO,
				 "the guest's shell could not start a command (exit code %" PRId64
				 ")",
				 status);
	}
}

/* Takes "vsockfs-TOKEN DIRECTORY PID" out of what the start script (and a login) printed. */
static int start_answer(struct start *start, const struct line_exec_reply *reply,
			struct lproc_command *command, struct error *err)
{
	char mark[64], room[64];
	const char *at;
	long long pid;

	snprintf(mark, sizeof(mark), "\nvsockfs-%.32s ", guest_token(start->guest));
	at = strstr(reply->out.data, mark);
	if (!at || sscanf(at + strlen(mark), "%63s %18lld", room, &pid) != 2 || pid <= 1)
		return error_set(err, EPROTO, "the guest did not say which process the command is");
	snprintf(mark, sizeof(mark), "/vsockfs-%.32s", guest_token(start->guest));
	if (!(strncmp(room, "/run", 4) == 0 || strncmp(room, "/tmp", 4) == 0) ||
	    strcmp(room + 4, mark) != 0)
		return error_set(err, EPROTO,
				 "the guest keeps the command where it was not told to");
	snprintf(command->dir, sizeof(command->dir), "%s/%s", room, start->name);
	command->pid = pid;
	return 0;
}

static int start_run(struct start *start, const struct call *call,
		     const struct proc_settings *settings, struct lproc_command *command,
		     struct error *err)
{
	int seconds = call_remaining_ms(call) / 1000 - 1;
	struct line_exec exec = { .command = PROC_SH_START,
				  .timeout_seconds = seconds < 1 ? 1 : seconds,
				  .env = start->env,
				  .env_count = start->env_count };
	struct line_exec_reply reply = { 0 };
	int rc = line_exec(start->guest, call, &exec, &reply, err);

	if (rc)
		rc = proc_error(rc, err);
	else if (reply.exit_code == 124 && strstr(reply.err.data, "timed out"))
		rc = error_set(err, ETIMEDOUT, "the guest: %s", reply.err.data);
	else if (reply.exit_code != 0)
		rc = start_refused(reply.exit_code, settings, err);
	else
		rc = start_answer(start, &reply, command, err);
	line_exec_reply_free(&reply);
	return rc;
}

/*
 * After a start that failed: an upload that no script has taken over, and, if its answer was not
 * heard, the command itself, are removed, behind the back of the caller, who has waited enough.
 */
static void start_undo(struct start *start, int rc)
{
	struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	const char *token = guest_token(start->guest);
	bool unheard = rc == -EINTR || rc == -ETIMEDOUT || rc == -EPROTO;

	if (rc == -ENOTCONN || (!start->upload[0] && !unheard))
		return;
	buf_adds(&script, PROC_SH_END);
	for (int i = 0; unheard && i < 2; i++)
		buf_addf(&script, "d=%s/vsockfs-%s; end $d/%s; rmdir $d\n", i ? "/tmp" : "/run",
			 token, start->name);
	if (start->upload[0])
		buf_addf(&script, "rm -f %s; rmdir %.*s\n", start->upload,
			 (int)(strrchr(start->upload, '/') - start->upload), start->upload);
	proc_undo(lproc_of(start->guest), &script);
}

static uint64_t next_number(struct lproc_room *room)
{
	uint64_t number;

	pthread_mutex_lock(&room->lock);
	number = ++room->commands;
	room->used = true;
	pthread_mutex_unlock(&room->lock);
	return number;
}

int lproc_command_start(struct guest *guest, const struct call *call, const char *command,
			const struct proc_settings *settings, int input_fd, int64_t input_len,
			double timeout, struct lproc_command **out, struct error *err)
{
	struct error own;
	struct start start = { .guest = guest };
	struct lproc_command *made;
	int rc = proc_check_env(settings, err);

	err = error_place(err, &own);
	if (rc)
		return rc;
	made = calloc(1, sizeof(*made));
	if (!made)
		return error_set(err, ENOMEM, "out of memory");
	made->guest = guest;
	snprintf(start.name, sizeof(start.name), "c%" PRIu64, next_number(lproc_of(guest)));
	rc = start_prepare(&start, command, settings, err);
	if (!rc) {
		start_limit(&start, timeout);
		rc = start_input(&start, call, strlen(command), input_fd, input_len, err);
		rc = rc ? rc : start_run(&start, call, settings, made, err);
		if (rc)
			start_undo(&start, rc);
	}
	start_free(&start);
	if (rc) {
		free(made);
		return rc;
	}
	*out = made;
	return 0;
}

static int forgotten(struct error *err)
{
	return error_set(err, ENOENT,
			 "the guest has nothing of this command any more (was it restarted?)");
}

/* A script of proc_command_script.h for COMMAND: HEAD are functions and assignments. */
static int run_script(struct lproc_command *command, const struct call *call, const char *head,
		      const char *script, struct shtext_reply *reply, struct error *err)
{
	autobuf struct buf text = BUF_INIT(LIMIT_EXEC_COMMAND);

	buf_adds(&text, head);
	shtext_assign(&text, "c", command->dir, strlen(command->dir));
	buf_adds(&text, script);
	return proc_script(command->guest, call, TRAFFIC_EXEC, &text, reply, err);
}

int lproc_command_status(struct lproc_command *command, const struct call *call,
			 struct proc_command_status *out, struct error *err)
{
	struct shtext_reply reply;
	long long sizes[2];
	int alive, code, rc;
	char text[8];

	rc = run_script(command, call, PROC_SH_SIZE, PROC_SH_STATUS, &reply, err);
	if (rc == 3) {
		rc = forgotten(err);
	} else if (rc > 0) {
		rc = shtext_failure(&reply, EIO, err);
	} else if (rc == 0 && sscanf(reply.out, "%*d %9d %7s %18lld %18lld", &alive, text,
				     &sizes[0], &sizes[1]) != 4) {
		rc = error_set(err, EPROTO, "the guest says nothing sensible of the command");
	} else if (rc == 0) {
		*out = (struct proc_command_status){ .pid = command->pid,
						     .out_size = sizes[0] < 0 ? 0 : sizes[0],
						     .err_size = sizes[1] < 0 ? 0 : sizes[1] };
		/*
		 * Without a supervisor there will be no exit status: somebody has killed them all.
		 */
		out->ended = isdigit((unsigned char)text[0]) || !alive;
		code = isdigit((unsigned char)text[0]) ? atoi(text) : 128 + 9;
		out->exit_code = out->ended ? code & 255 : 0;
	}
	shtext_reply_free(&reply);
	return rc;
}

ssize_t lproc_command_read(struct lproc_command *command, const struct call *call, int stream,
			   int64_t offset, void *bytes, size_t len, struct error *err)
{
	char find[sizeof(command->dir) + 16];

	snprintf(find, sizeof(find), "f=%s/%s\n", command->dir, stream == 2 ? "stderr" : "stdout");
	return proc_range_read(command->guest, call, find, offset, bytes, len, err);
}

/* Names that every kill knows; numbers differ between machines, names do not. */
static bool is_signal(const char *name)
{
	static const char *const names[] = {
		"HUP",  "INT",  "QUIT", "ILL",  "TRAP", "ABRT", "BUS",  "FPE",   "KILL",
		"USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "CHLD", "CONT",  "STOP",
		"TSTP", "TTIN", "TTOU", "URG",  "XCPU", "XFSZ", "PROF", "WINCH", "SYS",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

int lproc_command_kill(struct lproc_command *command, const struct call *call, const char *signal,
		       struct error *err)
{
	struct shtext_reply reply;
	char head[32];
	int rc;

	if (!is_signal(signal))
		return error_set(err, EINVAL, "'%s' is no signal (TERM, KILL, INT, ...)", signal);
	snprintf(head, sizeof(head), "k=%s\n", signal);
	rc = run_script(command, call, head, PROC_SH_KILL, &reply, err);
	if (rc == 3)
		rc = forgotten(err);
	else if (rc == 4)
		rc = error_set(err, EBUSY, "the command has ended");
	else if (rc > 0)
		rc = shtext_failure(&reply, EIO, err);
	shtext_reply_free(&reply);
	return rc;
}

void lproc_command_free(struct lproc_command *command, const struct call *call)
{
	struct shtext_reply reply;
	struct call own;

	if (!command)
		return;
	/* A caller that is out of time, or interrupted, still wants it gone. */
	if (call_remaining_ms(call) == 0 || (call->cancel && cancel_fired(call->cancel))) {
		own = guest_call(command->guest, NULL);
		call = &own;
	}
	run_script(command, call, PROC_SH_END, "end \"$c\"; rmdir \"${c%/*}\"\n", &reply, NULL);
	shtext_reply_free(&reply);
	free(command);
}

void proc_command_sweep(struct guest *guest, const struct call *call)
{
	autobuf struct buf script = BUF_INIT(LIMIT_EXEC_COMMAND);
	const char *token = guest_token(guest);
	struct shtext_reply reply;

	buf_adds(&script, PROC_SH_END);
	buf_addf(&script,
		 "for c in /run/vsockfs-%s/c* /tmp/vsockfs-%s/c*; do end \"$c\"; done\n"
		 "rmdir /run/vsockfs-%s /tmp/vsockfs-%s\n",
		 token, token, token, token);
	proc_script(guest, call, TRAFFIC_EXEC, &script, &reply, NULL);
	shtext_reply_free(&reply);
}
