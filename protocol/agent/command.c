/* command.c - see command.h: the table, who owns what, and forgetting. */
#include "protocol/agent/command_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/clock.h"
#include "protocol/agent/environment.h"
#include "protocol/agent/kin.h"
#include "protocol/agent/rundir.h"
#include "protocol/agent/session_proc_hub.h"
#include "protocol/cleanup.h"
#include "protocol/token.h"

/* How long what has ended is kept for an owner who has gone. */
#define AWAY_MS INT64_C(600000)

/* For the reaper's word on one that was killed. */
#define KILL_MS 2000

void command_drop_spec(struct command *command)
{
	budget_give(&command->commands->agent->held, command->held);
	command->held = 0;
	environment_free(move_ptr(command->argv));
	environment_free(move_ptr(command->env));
	free(move_ptr(command->host_cwd));
}

static void command_free(struct command *command)
{
	if (command->input >= 0)
		close(command->input);
	child_unref(command->child);
	command_drop_spec(command);
	pthread_mutex_destroy(&command->lock);
	free(command);
}

void command_unref(struct command *command)
{
	if (atomic_fetch_sub(&command->refs, 1) == 1)
		command_free(command);
}

void commands_set_due(struct commands *commands, int64_t due)
{
	bool news;

	pthread_mutex_lock(&commands->lock);
	news = due < commands->due;
	if (news)
		commands->due = due;
	pthread_mutex_unlock(&commands->lock);
	if (news)
		proc_hub_poke(commands->agent->procs);
}

/* Takes over what SPEC gives, whatever comes. */
static struct command *make(struct commands *commands, struct command_spec *spec)
{
	struct command *command = calloc(1, sizeof(*command));

	if (!command) {
		environment_free(spec->argv);
		environment_free(spec->env);
		free(spec->host_cwd);
		return NULL;
	}
	command->commands = commands;
	command->argv = spec->argv;
	command->env = spec->env;
	command->host_cwd = spec->host_cwd;
	command->timeout_ms = spec->timeout_ms;
	command->owner = spec->owner;
	command->spool = spec->input == COMMAND_SPOOL;
	command->input = -1;
	memcpy(command->mark, spec->mark, sizeof(command->mark));
	pthread_mutex_init(&command->lock, NULL);
	return command;
}

/* Puts COMMAND into the table, with the table's reference and the caller's. */
static int list(struct commands *commands, struct command *command, const char *id,
		struct error *err)
{
	struct command *there;
	int rc;

	pthread_mutex_lock(&commands->lock);
	rc = commands_open_dir(commands, err);
	if (id)
		snprintf(command->id, sizeof(command->id), "%s", id);
	else
		snprintf(command->id, sizeof(command->id), "c%llu-%s",
			 (unsigned long long)++commands->count, commands->token);
	HASH_FIND_STR(commands->by_id, command->id, there);
	if (rc == 0 && there)
		rc = error_set(err, EEXIST, "command '%s' already exists", command->id);
	else if (rc == 0 && HASH_COUNT(commands->by_id) >= LIMIT_CTL_MEMBERS)
		rc = error_set(err, EAGAIN, "there are %d commands already: forget some",
			       LIMIT_CTL_MEMBERS);
	if (rc == 0) {
		atomic_store(&command->refs, 2);
		command->listed = true;
		HASH_ADD_STR(commands->by_id, id, command);
	}
	pthread_mutex_unlock(&commands->lock);
	return rc;
}

/* One that waits for its input may wait for long. */
static int hold(struct command *command, struct error *err)
{
	size_t size = environment_size(command->argv) + environment_size(command->env);

	if (!budget_take(&command->commands->agent->held, size))
		return error_set(err, EAGAIN, "too many commands wait for their input: try again");
	command->held = size;
	return 0;
}

int commands_start(struct commands *commands, struct command_spec *spec, struct command **out,
		   struct error *err)
{
	bool stream = spec->input == COMMAND_STREAM;
	struct command *command = make(commands, spec);
	int rc;

	if (!command)
		return error_set(err, ENOMEM, "out of memory");
	rc = command->spool ? hold(command, err) : 0;
	if (rc == 0)
		rc = list(commands, command, spec->id, err);
	if (rc < 0) {
		command_free(command);
		return rc;
	}
	pthread_mutex_lock(&command->lock);
	rc = command->spool ? command_open_spool(command, err) : command_run(command, stream, err);
	pthread_mutex_unlock(&command->lock);
	if (rc < 0) {
		command_forget(command);
		command_unref(command);
		return rc;
	}
	if (command->timeout_ms && !command->spool)
		commands_set_due(commands, 0);
	*out = command;
	return 0;
}

struct command *commands_find(struct commands *commands, const char *id, const void *owner,
			      struct error *err)
{
	struct command *command;

	pthread_mutex_lock(&commands->lock);
	HASH_FIND_STR(commands->by_id, id, command);
	if (command) {
		atomic_fetch_add(&command->refs, 1);
		command->owner = owner;
	}
	pthread_mutex_unlock(&commands->lock);
	if (!command)
		error_set(err, ENOENT, "command '%s' does not exist", id);
	return command;
}

/* Takes it off the table, with the table's reference; false where somebody else has. */
static bool unlist(struct command *command)
{
	struct commands *commands = command->commands;
	bool listed;

	pthread_mutex_lock(&commands->lock);
	listed = command->listed;
	command->listed = false;
	if (listed)
		HASH_DEL(commands->by_id, command);
	pthread_mutex_unlock(&commands->lock);
	return listed;
}

void command_forget(struct command *command)
{
	struct child *child = NULL;
	pid_t pid;

	if (!unlist(command))
		return;
	pthread_mutex_lock(&command->lock);
	pid = command->state == COMMAND_RUNNING ? command->pid : 0;
	if (command->state == COMMAND_WAITING) {
		command->state = COMMAND_ENDED;
		command->exit_code = 128 + SIGKILL;
		command->ended_at = clock_epoch();
	}
	child = command->child; /* once there it stays as long as the command */
	pthread_mutex_unlock(&command->lock);
	if (pid) {
		kin_signal(pid, command->mark, SIGKILL);
		child_signal(child, SIGKILL);
		child_wait(child, clock_ms() + KILL_MS);
	}
	command_remove_files(command);
	proc_hub_tell(command->commands->agent->procs, PROC_COMMAND, command->id);
	command_unref(command);
}

void command_tell_end(struct command *command)
{
	struct commands *commands = command->commands;
	bool owned;

	pthread_mutex_lock(&commands->lock);
	owned = command->owner != NULL;
	pthread_mutex_unlock(&commands->lock);
	if (!owned)
		commands_set_due(commands, clock_ms() + AWAY_MS);
	proc_hub_tell(commands->agent->procs, PROC_COMMAND, command->id);
}

void commands_leave(struct commands *commands, const void *owner)
{
	int64_t until = clock_ms() + AWAY_MS;
	bool any = false;

	pthread_mutex_lock(&commands->lock);
	for (struct command *command = commands->by_id; command; command = command->hh.next) {
		if (command->owner != owner)
			continue;
		command->owner = NULL;
		command->owned_until = until;
		any = true;
	}
	pthread_mutex_unlock(&commands->lock);
	if (any)
		commands_set_due(commands, until);
}

/* Hold commands->lock.  When nobody has owned it for long enough. */
static int64_t forgotten_at(struct command *command)
{
	int64_t ended = INT64_MAX;

	if (command->owner)
		return INT64_MAX;
	pthread_mutex_lock(&command->lock);
	if (command->state == COMMAND_ENDED)
		ended = command->ended_ms + AWAY_MS;
	else if (command->state == COMMAND_WAITING && !command->feeding)
		ended = 0;
	pthread_mutex_unlock(&command->lock);
	return ended > command->owned_until ? ended : command->owned_until;
}

/*
 * Some command that is to be forgotten now, referenced; NULL: none, and *DUE says when there is
 * something to do.
 */
static struct command *tend_all(struct commands *commands, int64_t now, int64_t *due)
{
	struct command *command, *found = NULL;

	pthread_mutex_lock(&commands->lock);
	*due = commands->due;
	if (now < *due) {
		pthread_mutex_unlock(&commands->lock);
		return NULL;
	}
	*due = INT64_MAX;
	for (command = commands->by_id; command && !found; command = command->hh.next) {
		int64_t forget = forgotten_at(command), next = command_tend(command, now);

		if (forget <= now)
			found = command;
		if (next > forget)
			next = forget;
		if (next < *due)
			*due = next;
	}
	if (found)
		atomic_fetch_add(&found->refs, 1);
	else
		commands->due = *due;
	pthread_mutex_unlock(&commands->lock);
	return found;
}

int commands_tend(struct commands *commands)
{
	struct command *command;
	int64_t due;

	while ((command = tend_all(commands, clock_ms(), &due)) != NULL) {
		command_forget(command);
		command_unref(command);
	}
	return due == INT64_MAX ? -1 : clock_until(due);
}

int commands_new(struct agent *agent, struct commands **out, struct error *err)
{
	struct commands *commands = calloc(1, sizeof(*commands));
	autofree char *path = NULL;

	if (!commands)
		return error_set(err, ENOMEM, "out of memory");
	if (token_make(commands->token, COMMAND_TOKEN) < 0 ||
	    asprintf(&path, "%s/" RUNDIR_COMMANDS, agent->run_dir) < 0) {
		path = NULL;
		free(commands);
		return error_set(err, EIO, "there are no random numbers");
	}
	commands->agent = agent;
	commands->dir = -1;
	commands->due = INT64_MAX;
	commands->room = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	pthread_mutex_init(&commands->lock, NULL);
	commands_sweep(commands);
	*out = commands;
	return 0;
}

void commands_free(struct commands *commands)
{
	struct command *command;

	if (!commands)
		return;
	while ((command = commands->by_id) != NULL) {
		HASH_DEL(commands->by_id, command);
		command_free(command);
	}
	commands_remove_dir(commands);
	pthread_mutex_destroy(&commands->lock);
	free(commands);
}
