/* session_ahead.c - see session_ahead.h. */
#include "protocol/agent/session_ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>

#define STACK_SIZE (64u << 10)

struct sess_ahead {
	/* The run; written before GO is posted, and read again after DONE. */
	int fd;
	const struct archive_names *names;
	size_t first, count, middle;
	bool over;

	bool tried, running; /* the second thread */
	pthread_t thread;
	sem_t go, done;

	int codes[SESS_AHEAD_MAX];
	struct stat found[SESS_AHEAD_MAX];
};

static void look(struct sess_ahead *ahead, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const char *name = archive_names_at(ahead->names, ahead->first + i);

		ahead->codes[i] = fstatat(ahead->fd, name, &ahead->found[i], AT_SYMLINK_NOFOLLOW) <
						  0 ?
					  -errno :
					  0;
	}
}

static void await(sem_t *sem)
{
	while (sem_wait(sem) < 0 && errno == EINTR)
		;
}

static void *help(void *arg)
{
	struct sess_ahead *ahead = arg;

	for (;;) {
		await(&ahead->go);
		if (ahead->over)
			return NULL;
		look(ahead, ahead->middle, ahead->count);
		sem_post(&ahead->done);
	}
}

static bool has_two_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

static bool has_help(struct sess_ahead *ahead)
{
	pthread_attr_t attributes;

	if (ahead->tried)
		return ahead->running;
	ahead->tried = true;
	if (!has_two_processors() || pthread_attr_init(&attributes))
		return false;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	ahead->running = pthread_create(&ahead->thread, &attributes, help, ahead) == 0;
	pthread_attr_destroy(&attributes);
	return ahead->running;
}

struct sess_ahead *sess_ahead_new(void)
{
	struct sess_ahead *ahead = malloc(sizeof(*ahead));

	if (!ahead)
		return NULL;
	ahead->tried = ahead->running = ahead->over = false;
	sem_init(&ahead->go, 0, 0);
	sem_init(&ahead->done, 0, 0);
	return ahead;
}

void sess_ahead_free(struct sess_ahead *ahead)
{
	if (!ahead)
		return;
	if (ahead->running) {
		ahead->over = true;
		sem_post(&ahead->go);
		pthread_join(ahead->thread, NULL);
	}
	sem_destroy(&ahead->done);
	sem_destroy(&ahead->go);
	free(ahead);
}

void sess_ahead_run(struct sess_ahead *ahead, int fd, const struct archive_names *names,
		    size_t first, size_t count)
{
	bool help = has_help(ahead);

	ahead->fd = fd;
	ahead->names = names;
	ahead->first = first;
	ahead->count = count;
	ahead->middle = help ? count / 2 : count;
	if (help)
		sem_post(&ahead->go);
	look(ahead, 0, ahead->middle);
	if (help)
		await(&ahead->done);
}

int sess_ahead_get(const struct sess_ahead *ahead, size_t index, const struct stat **st)
{
	*st = &ahead->found[index];
	return ahead->codes[index];
}
