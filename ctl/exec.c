/*
 * exec.c - a command's state and verbs.
 */
#include "ctl/exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/blocking.h"
#include "ctl/guest.h"
#include "protocol/cleanup.h"

/* `run` asks for the end at intervals that grow from the first to the second. */
#define PAUSE_MIN 0.005
#define PAUSE_MAX 0.500
#define PAUSE_GROWTH 1.5

/* How long rmdir waits for a killed command to be seen dead. */
#define DEATH_SECONDS 2

#define TIMEOUT_MAX 31536000 /* a year */

static struct exec *self(struct object *object)
{
	return (struct exec *)object;
}

static enum exec_state state_of(struct exec *exec)
{
	enum exec_state state;

	pthread_mutex_lock(&exec->job.object.lock);
	state = exec->state;
	pthread_mutex_unlock(&exec->job.object.lock);
	return state;
}

static bool is_lost(struct exec *exec)
{
	bool lost;

	pthread_mutex_lock(&exec->job.object.lock);
	lost = exec->lost;
	pthread_mutex_unlock(&exec->job.object.lock);
	return lost;
}

static bool has_ended(struct exec *exec)
{
	return state_of(exec) == EXEC_EXITED;
}

static ssize_t take_code(void *owner, struct waitq_reader *reader, int64_t offset, void *bytes,
			 size_t len)
{
	struct exec *exec = owner;
	ssize_t got = -EAGAIN;

	(void)reader;
	pthread_mutex_lock(&exec->job.object.lock);
	if (exec->state == EXEC_EXITED)
		got = blocking_code(exec->lost ? NULL : &exec->last.exit_code, offset, bytes, len);
	pthread_mutex_unlock(&exec->job.object.lock);
	return got;
}

static bool code_ready(void *owner, struct waitq_reader *reader)
{
	(void)reader;
	return has_ended(owner);
}

int exec_new(struct object *dir, const char *name, struct exec **out, struct error *err)
{
	struct exec *exec = calloc(1, sizeof(*exec));

	if (!exec ||
	    tree_object_init(&exec->job.object, &exec_type, dir->ctl, dir->guest, name) < 0) {
		free(exec);
		return error_set(err, ENOMEM, "out of memory");
	}
	exec->stdin_fd = -1;
	waitq_init(&exec->wait, exec, take_code, code_ready);
	*out = exec;
	return 0;
}

struct exec_run *exec_get_run(struct exec *exec)
{
	struct exec_run *run;

	pthread_mutex_lock(&exec->job.object.lock);
	run = exec->run;
	if (run)
		atomic_fetch_add(&run->refs, 1);
	pthread_mutex_unlock(&exec->job.object.lock);
	return run;
}

void exec_put_run(struct exec_run *run)
{
	struct call call;

	if (!run || atomic_fetch_sub(&run->refs, 1) != 1)
		return;
	call = guest_call(run->guest, NULL);
	proc_command_free(run->command, &call);
	guest_unref(run->guest);
	free(run);
}

/* RUN has ended, unless it is not the last any more, or was seen to end before. */
static void end(struct exec *exec, const struct exec_run *run, const struct error *lost)
{
	struct object *object = &exec->job.object;
	int exit_code;
	bool ended;

	/* What it changed is to be seen by whoever learns of its end. */
	cguest_changed(object->guest, NULL);
	pthread_mutex_lock(&object->lock);
	ended = exec->run == run && exec->state == EXEC_RUNNING;
	if (ended) {
		exec->state = EXEC_EXITED;
		exec->lost = lost;
		clock_gettime(CLOCK_REALTIME, &object->changed);
	}
	exit_code = exec->last.exit_code;
	pthread_mutex_unlock(&object->lock);
	if (!ended)
		return;
	if (lost) {
		tree_set_error(object, lost);
		events_add(&object->guest->events, "exec %s lost", object->name);
	} else {
		events_add(&object->guest->events, "exec %s exited %d", object->name, exit_code);
	}
	waitq_wake(&exec->wait);
}

/* What the guest says of RUN.  An answer about one that is not the last any more is dropped. */
static void update(struct exec *exec, const struct exec_run *run,
		   const struct proc_command_status *fresh)
{
	struct object *object = &exec->job.object;
	bool ended = false;

	pthread_mutex_lock(&object->lock);
	if (exec->run == run && exec->state == EXEC_RUNNING) {
		ended = fresh->ended;
		exec->last = *fresh;
	}
	pthread_mutex_unlock(&object->lock);
	if (ended)
		end(exec, run, NULL);
}

int exec_refresh(struct exec *exec, const struct call *call, struct error *err)
{
	struct proc_command_status fresh = { 0 };
	struct exec_run *run = NULL;
	struct error why = { 0 };
	int rc = 0;

	if (state_of(exec) == EXEC_RUNNING)
		run = exec_get_run(exec);
	if (run)
		rc = proc_command_status(run->command, call, &fresh, &why);
	if (run && rc == 0)
		update(exec, run, &fresh);
	if (rc == -ENOENT) {
		end(exec, run, &why);
		rc = 0;
	}
	exec_put_run(run);
	return rc < 0 ? error_copy(err, &why) : 0;
}

static enum poller_news poll_exec(struct object *object, const struct call *call)
{
	struct exec *exec = self(object);
	int rc = exec_refresh(exec, call, NULL);

	if (rc == -ENOTCONN || rc == -EPROTO) {
		waitq_fail(&exec->wait, -rc);
		cguest_notice(object->guest);
		return POLLER_DONE;
	}
	return state_of(exec) == EXEC_RUNNING && waitq_wanted(&exec->wait) ? POLLER_QUIET :
									     POLLER_DONE;
}

/* Verbs */

static int verb_timeout(struct object *object, const struct call *call, const struct cmd *cmd,
			struct error *err)
{
	double seconds;
	int rc = cmd_number(cmd->argv[0], 0, TIMEOUT_MAX, false, "the time in seconds", &seconds,
			    err);

	(void)call;
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&object->lock);
	self(object)->timeout = seconds;
	pthread_mutex_unlock(&object->lock);
	return 0;
}

/*
 * The command is RUN's from now on; who waits is served by the poller.  NULL, NULL: it could not be
 * started, and the exit code of the one before must not be taken for its.
 */
static void set_run(struct exec *exec, struct exec_run *run, char *command)
{
	struct object *object = &exec->job.object;
	struct exec_run *old;

	pthread_mutex_lock(&object->lock);
	old = exec->run;
	exec->run = run;
	free(exec->command);
	exec->command = command;
	exec->last = (struct proc_command_status){ 0 };
	exec->state = run ? EXEC_RUNNING : EXEC_NEW;
	exec->lost = false;
	clock_gettime(CLOCK_REALTIME, &object->changed);
	pthread_mutex_unlock(&object->lock);
	exec_put_run(old);
	if (!run)
		return;
	events_add(&object->guest->events, "exec %s running", object->name);
	if (waitq_wanted(&exec->wait))
		poller_watch(cguest_poller(object), object);
}

/* start, and the first half of run. */
static int verb_start(struct object *object, const struct call *call, const struct cmd *cmd,
		      struct error *err)
{
	struct exec *exec = self(object);
	struct proc_settings settings = settings_proc(&exec->job.settings);
	struct call within = cguest_call(object->guest, call->cancel);
	autofree struct exec_run *run = calloc(1, sizeof(*run));
	autofree char *command = strdup(cmd->argv[0]);
	int rc = exec_refresh(exec, &within, err);

	if (rc < 0)
		return rc;
	if (state_of(exec) == EXEC_RUNNING)
		return error_set(err, EBUSY, "a command is running here; wait for it or kill it");
	if (!run || !command)
		return error_set(err, ENOMEM, "out of memory");
	within = cguest_call(object->guest, call->cancel);
	rc = proc_command_start(cguest_guest(object), &within, command, &settings, exec->stdin_fd,
				exec->stdin_size, exec->timeout, &run->command, err);
	if (rc < 0) {
		set_run(exec, NULL, NULL);
		return rc;
	}
	atomic_init(&run->refs, 1);
	run->guest = guest_ref(cguest_guest(object));
	set_run(exec, move_ptr(run), move_ptr(command));
	return 0;
}

/*
 * The second half of run, without the verb lock, so that kill can be written meanwhile.  An
 * interrupt ends the waiting, not the command.
 */
static int wait_for_end(struct object *object, const struct call *call, struct error *err)
{
	struct exec *exec = self(object);
	struct call forever = call_extend(call, 1e9);
	double pause = PAUSE_MIN;
	int rc = 0;

	while (!has_ended(exec)) {
		struct call within = cguest_call(object->guest, call->cancel);

		rc = tree_check(object);
		if (rc < 0)
			return error_set(err, -rc, "it was removed while it ran");
		rc = exec_refresh(exec, &within, err);
		/*
		 * One late answer is no reason to give up; a guest that is gone says ENOTCONN next.
		 */
		if (rc == 0 || rc == -ETIMEDOUT)
			rc = has_ended(exec) ? 0 : call_sleep(&forever, pause);
		if (rc == -EINTR)
			return error_set(err, EINTR, "interrupted; the command goes on");
		if (rc < 0)
			return rc;
		pause = pause * PAUSE_GROWTH < PAUSE_MAX ? pause * PAUSE_GROWTH : PAUSE_MAX;
	}
	return is_lost(exec) ? error_set(err, EIO,
					 "the guest was restarted, or its agent: how the "
					 "command ended is not known") :
			       0;
}

static int verb_kill(struct object *object, const struct call *call, const struct cmd *cmd,
		     struct error *err)
{
	struct exec *exec = self(object);
	struct call within = cguest_call(object->guest, call->cancel);
	const char *signal = job_signal(cmd->argc ? cmd->argv[0] : "TERM",
					"HUP INT QUIT KILL USR1 USR2 TERM STOP CONT", err);
	struct exec_run *run;
	int rc;

	if (!signal)
		return -EINVAL;
	rc = exec_refresh(exec, &within, err);
	if (rc < 0)
		return rc;
	if (state_of(exec) != EXEC_RUNNING)
		return error_set(err, EBUSY, "no command is running here");
	run = exec_get_run(exec);
	rc = proc_command_kill(run->command, &within, signal, err);
	exec_put_run(run);
	return rc;
}

static const struct cmd_verb verbs[] = {
	JOB_VERBS,
	{ "timeout", CMD_PLAIN, 1, 1, 0, "timeout SECONDS", verb_timeout, NULL },
	{ "run", CMD_REST, 1, 1, CMD_REACHES | CMD_CHANGES, "run COMMAND...", verb_start,
	  wait_for_end },
	{ "start", CMD_REST, 1, 1, CMD_REACHES | CMD_CHANGES, "start COMMAND...", verb_start,
	  NULL },
	{ "kill", CMD_PLAIN, 0, 1, CMD_REACHES | CMD_CHANGES, "kill [SIGNAL]", verb_kill, NULL },
};

/* Life */

/* A killed command is seen to have ended soon, and then who waits for it gets the code. */
static void await_death(struct exec *exec, const struct call *call)
{
	struct call within = call_extend(call, DEATH_SECONDS);

	double pause = PAUSE_MIN;

	while (!has_ended(exec)) {
		if (call_sleep(&within, pause) < 0 || exec_refresh(exec, &within, NULL) < 0)
			return;
		pause *= PAUSE_GROWTH;
	}
}

int exec_end(struct object *object, const struct call *call, struct error *err)
{
	struct exec *exec = self(object);
	struct call within = cguest_call(object->guest, call->cancel);
	int rc = exec_refresh(exec, &within, err);
	struct exec_run *run;

	if (rc < 0 || state_of(exec) != EXEC_RUNNING)
		return rc;
	run = exec_get_run(exec);
	rc = proc_command_kill(run->command, &within, "KILL", err);
	exec_put_run(run);
	if (rc == 0)
		await_death(exec, &within);
	return rc;
}

static void retire(struct object *object, int gone)
{
	struct exec *exec = self(object);
	struct exec_run *run;

	waitq_close(&exec->wait, gone);
	pthread_mutex_lock(&object->lock);
	run = move_ptr(exec->run);
	pthread_mutex_unlock(&object->lock);
	exec_put_run(run);
}

static void free_exec(struct object *object)
{
	struct exec *exec = self(object);

	exec_put_run(exec->run);
	settings_free(&exec->job.settings);
	free(exec->command);
	if (exec->stdin_fd >= 0)
		close(exec->stdin_fd);
	waitq_destroy(&exec->wait);
	free(exec);
}

const struct object_type exec_type = {
	.what = "command",
	.files = exec_file_types,
	.count = EXEC_FILES,
	.verbs = verbs,
	.verb_count = sizeof(verbs) / sizeof(verbs[0]),
	.poll = poll_exec,
	.retire = retire,
	.free = free_exec,
};
