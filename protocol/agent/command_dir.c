/*
 * command_dir.c - the directory of the commands' files: one for each agent, locked while it lives.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "protocol/agent/agent.h"
#include "protocol/agent/command_internal.h"
#include "protocol/agent/rundir.h"
#include "protocol/agent/tree.h"
#include "protocol/cleanup.h"

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/*
 * A directory that nobody holds a lock on is nobody's; one that is just being made has no lock yet.
 */
static void sweep_one(int room, const char *name)
{
	autoclose int dir = openat(room, name, DIRECTORY_FLAGS);

	if (dir >= 0 && flock(dir, LOCK_EX | LOCK_NB) == 0)
		tree_remove(room, name);
}

void commands_sweep(struct commands *commands)
{
	struct dirent *entry;
	DIR *room;
	int fd;

	if (commands->room < 0)
		return;
	fd = openat(commands->room, ".", DIRECTORY_FLAGS);
	room = fd >= 0 ? fdopendir(fd) : NULL;
	while (room && (entry = readdir(room)) != NULL) {
		if (strlen(entry->d_name) == COMMAND_TOKEN)
			sweep_one(commands->room, entry->d_name);
	}
	if (room)
		closedir(room);
	else if (fd >= 0)
		close(fd);
}

/* Made, locked, and still there: who sweeps may have taken it for an old one in between. */
static int make_dir(struct commands *commands)
{
	for (;;) {
		autoclose int dir = -1;
		struct stat st;

		if (mkdirat(commands->room, commands->token, 0700) < 0 && errno != EEXIST)
			return -errno;
		dir = openat(commands->room, commands->token, DIRECTORY_FLAGS);
		if (dir < 0 && errno != ENOENT)
			return -errno;
		/* A file system without locks lets nobody sweep. */
		if (dir >= 0 && flock(dir, LOCK_EX) < 0 && errno == EINTR)
			continue;
		if (dir >= 0 && fstat(dir, &st) == 0 && st.st_nlink)
			return move_fd(dir);
	}
}

int commands_open_dir(struct commands *commands, struct error *err)
{
	int rc;

	if (commands->dir >= 0)
		return 0;
	if (commands->room < 0) {
		rc = rundir_open(commands->agent->run_dir, RUNDIR_COMMANDS, 0700, err);
		if (rc < 0)
			return rc;
		commands->room = rc;
	}
	rc = make_dir(commands);
	if (rc < 0)
		return error_set(err, -rc, "cannot make the directory of the commands: %s",
				 strerror(-rc));
	commands->dir = rc;
	return 0;
}

void commands_remove_dir(struct commands *commands)
{
	if (commands->dir >= 0)
		tree_remove(commands->room, commands->token);
	cleanup_close(&commands->dir);
	cleanup_close(&commands->room);
}

char *commands_path(struct commands *commands)
{
	char *path = NULL;
	bool there;

	pthread_mutex_lock(&commands->lock);
	there = commands->dir >= 0;
	pthread_mutex_unlock(&commands->lock);
	if (there && asprintf(&path, "%s/" RUNDIR_COMMANDS "/%s", commands->agent->run_dir,
			      commands->token) < 0)
		path = NULL;
	return path;
}
