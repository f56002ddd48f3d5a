/*
 * shells.c - GUEST/shells, and the verbs of a shell.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctlfile.h"
#include "ctl/guest.h"
#include "ctl/shell.h"

/* No screen is larger. */
#define CELLS_MAX 1000

static struct shell *self(struct object *object)
{
	return (struct shell *)object;
}

/* The state as the guest has it now: a shell may have ended by itself. */
static int fresh_state(struct object *object, const struct call *call, enum shell_state *out,
		       struct error *err)
{
	struct call within = cguest_call(object->guest, call->cancel);
	int64_t rc = shell_fetch(self(object), &within, err);

	*out = shell_state(self(object));
	return rc < 0 ? (int)rc : 0;
}

static int verb_size(struct object *object, const struct call *call, const struct cmd *cmd,
		     struct error *err)
{
	struct shell *shell = self(object);
	struct call within = cguest_call(object->guest, call->cancel);
	enum shell_state state = SHELL_NEW;
	double cols = 0, rows = 0;
	int rc = cmd_number(cmd->argv[0], 1, CELLS_MAX, true, "COLS", &cols, err);

	if (rc == 0)
		rc = cmd_number(cmd->argv[1], 1, CELLS_MAX, true, "ROWS", &rows, err);
	if (rc == 0 && shell_state(shell) == SHELL_RUNNING)
		rc = fresh_state(object, call, &state, err);
	if (rc == 0 && state == SHELL_RUNNING)
		rc = proc_shell_resize(cguest_guest(object), &within, shell->id, (int)cols,
				       (int)rows, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&object->lock);
	shell->cols = (int)cols;
	shell->rows = (int)rows;
	pthread_mutex_unlock(&object->lock);
	return 0;
}

static int verb_open(struct object *object, const struct call *call, const struct cmd *cmd,
		     struct error *err)
{
	enum shell_state state = SHELL_NEW;
	int rc = fresh_state(object, call, &state, err);

	(void)cmd;
	if (rc < 0)
		return rc;
	if (state == SHELL_RUNNING)
		return error_set(err, EBUSY, "shell %s is open already", object->name);
	return shell_open(self(object), call, err);
}

static int verb_signal(struct object *object, const struct call *call, const struct cmd *cmd,
		       struct error *err)
{
	struct shell *shell = self(object);
	struct call within = cguest_call(object->guest, call->cancel);
	const char *signal = job_signal(cmd->argv[0], "HUP INT TERM KILL", err);
	enum shell_state state = SHELL_NEW;
	int rc;

	if (!signal)
		return -EINVAL;
	rc = fresh_state(object, call, &state, err);
	if (rc < 0)
		return rc;
	if (state != SHELL_RUNNING)
		return error_set(err, EBUSY, "shell %s is not open", object->name);
	return proc_shell_signal(cguest_guest(object), &within, shell->id, signal, err);
}

static int verb_close(struct object *object, const struct call *call, const struct cmd *cmd,
		      struct error *err)
{
	(void)cmd;
	if (shell_state(self(object)) == SHELL_NEW)
		return error_set(err, EBUSY, "shell %s is not open", object->name);
	return shell_close(self(object), call, err);
}

static const struct cmd_verb verbs[] = {
	JOB_VERBS,
	{ "size", CMD_PLAIN, 2, 2, 0, "size COLS ROWS", verb_size, NULL },
	{ "open", CMD_PLAIN, 0, 0, CMD_REACHES, "open", verb_open, NULL },
	{ "signal", CMD_PLAIN, 1, 1, CMD_REACHES | CMD_CHANGES, "signal HUP|INT|TERM|KILL",
	  verb_signal, NULL },
	{ "close", CMD_PLAIN, 0, 0, CMD_REACHES | CMD_CHANGES, "close", verb_close, NULL },
};

/* The end of the mount or of the directory: the shell ends, if that can be said in time. */
static void retire(struct object *object, int gone)
{
	struct shell *shell = self(object);
	struct call call = cguest_call(object->guest, NULL);

	waitq_close(&shell->cons, gone);
	waitq_close(&shell->wait, gone);
	shell_close(shell, &call, NULL);
}

static void free_shell(struct object *object)
{
	struct shell *shell = self(object);

	settings_free(&shell->job.settings);
	spool_close(&shell->output);
	spool_close(&shell->text);
	free(shell->render);
	waitq_destroy(&shell->cons);
	waitq_destroy(&shell->wait);
	vlock_destroy(&shell->fetch);
	free(shell);
}

const struct object_type shell_type = {
	.what = "shell",
	.files = shell_file_types,
	.count = SHELL_FILES,
	.verbs = verbs,
	.verb_count = sizeof(verbs) / sizeof(verbs[0]),
	.poll = shell_poll,
	.retire = retire,
	.free = free_shell,
};

/* The collection */

static int make(struct object *dir, const char *name, struct object **out, struct error *err)
{
	struct shell *shell;
	int rc = shell_new(dir, name, &shell, err);

	if (rc == 0)
		*out = &shell->job.object;
	return rc;
}

static int stop(struct object *member, const struct call *call, struct error *err)
{
	int rc = shell_close(self(member), call, err);

	/* Of a shell that has ended, a guest that is gone need not be told. */
	return rc == -ENOTCONN && shell_state(self(member)) != SHELL_RUNNING ? 0 : rc;
}

static const struct member_ops members = { .make = make, .stop = stop };

static const struct file_type files[] = {
	{ .name = "clone", .mode = S_IFREG | 0600, .ops = &clone_ops },
};

static void free_shells(struct object *object)
{
	free(object);
}

static const struct object_type shells_type = {
	.what = "directory of shells",
	.files = files,
	.count = sizeof(files) / sizeof(files[0]),
	.members = &members,
	.free = free_shells,
};

int shells_new(struct ctl *ctl, struct cguest *guest, struct object **out)
{
	return job_collection(calloc(1, sizeof(struct object)), &shells_type, ctl, guest, "shells",
			      out);
}
