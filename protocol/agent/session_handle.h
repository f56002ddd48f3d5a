/*
 * session_handle.h - the files that a session has open, by the numbers that its client knows them
 * by.
 *
 * A number is not given again soon, so that an old one is EBADF and not another file.  A file is
 * closed when its number is gone and nobody uses it any more.
 */
#ifndef VSOCKFS_AGENT_SESSION_HANDLE_H
#define VSOCKFS_AGENT_SESSION_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/budget.h"

#define SESS_MAX_HANDLES 4096

struct sess_file {
	int fd;
	bool append;         /* opened with O_APPEND */
	uint32_t generation; /* the table's lock */
	unsigned users;      /* the table's lock; the number is one of them */
};

struct sess_handles {
	struct budget *files; /* of all sessions */
	pthread_mutex_t lock;
	struct sess_file **slots; /* lock; owned, ROOM of them */
	uint32_t *generations;    /* lock; owned; of the next file in a slot */
	uint32_t room, used;      /* lock */
	uint32_t hint;            /* lock; where to look for a free slot */
};

void sess_handles_init(struct sess_handles *handles, struct budget *files);
void sess_handles_destroy(struct sess_handles *handles);

/* Takes FD over, also when it fails: -EMFILE, -ENFILE where all sessions have too many, -ENOMEM. */
int sess_handles_add(struct sess_handles *handles, int fd, bool append, uint32_t *number);
/* The file NUMBER, until sess_handles_put; NULL where there is none. */
struct sess_file *sess_handles_get(struct sess_handles *handles, uint32_t number);
void sess_handles_put(struct sess_handles *handles, struct sess_file *file);
/* -EBADF */
int sess_handles_remove(struct sess_handles *handles, uint32_t number);

#endif
