/* session_ahead.c - see session_ahead.h. */
#include "protocol/agent/session_ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "protocol/limits.h"

/*
 * Names of a run, and runs that follow the one in use.  Few: while the walk waits for the client to
 * take something, the second thread must soon leave its processor to it.
 */
#define RUN_NAMES 64u
#define RUNS 2u

#define STACK_SIZE (128u << 10)

enum state {
	STATE_NONE,
	STATE_WAITS, /* for anybody to do it */
	STATE_TAKEN,
	STATE_READY,
};

struct sess_run {
	struct sess_run *next;
	enum state state; /* lock */
	int fd;           /* the walk's, as what names points to */
	struct archive_names names;
	size_t first, count;
	int codes[RUN_NAMES];
	struct stat found[RUN_NAMES];
};

/* Runs of one directory, in order. */
struct runs {
	struct sess_run *first, **last;
	unsigned count;
};

/* The directory that will be next. */
struct guess {
	enum state state; /* lock */
	unsigned parent;
	size_t index;
	int at; /* owned */
	char name[LIMIT_NAME + 1];
	int fd; /* owned; or a negative errno */
	struct archive_names names;
	struct runs runs; /* lock */
};

struct sess_ahead {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	bool idle;        /* lock; the second thread waits for work */
	bool waiting;     /* lock; the walk waits for what the second thread has taken */
	bool over;        /* lock */
	struct runs runs; /* lock; of the directory in use */
	struct guess guess;
	struct sess_run *spare; /* lock */
	bool helped;            /* there is a second thread */
	pthread_t thread;
};

static void look(struct sess_run *run)
{
	for (size_t i = 0; i < run->count; i++) {
		const char *name = archive_names_at(&run->names, run->first + i);

		run->codes[i] = fstatat(run->fd, name, &run->found[i], AT_SYMLINK_NOFOLLOW) < 0 ?
					-errno :
					0;
	}
}

/*
 * With the lock held, but for what says otherwise.
 */

static struct sess_run *waiting_run(const struct runs *runs)
{
	struct sess_run *run = runs->first;

	while (run && run->state != STATE_WAITS)
		run = run->next;
	return run;
}

static void done(struct sess_ahead *ahead, enum state *state)
{
	*state = STATE_READY;
	if (ahead->waiting)
		pthread_cond_signal(&ahead->done);
}

/* Unlocks meanwhile. */
static void take_run(struct sess_ahead *ahead, struct sess_run *run)
{
	run->state = STATE_TAKEN;
	pthread_mutex_unlock(&ahead->lock);
	look(run);
	pthread_mutex_lock(&ahead->lock);
	done(ahead, &run->state);
}

static void await(struct sess_ahead *ahead, const enum state *state)
{
	ahead->waiting = true;
	while (*state == STATE_TAKEN)
		pthread_cond_wait(&ahead->done, &ahead->lock);
	ahead->waiting = false;
}

static void drop_runs(struct sess_ahead *ahead, struct runs *runs)
{
	struct sess_run *run;

	while ((run = runs->first) != NULL) {
		if (run->state == STATE_WAITS)
			run->state = STATE_NONE;
		await(ahead, &run->state);
		runs->first = run->next;
		run->next = ahead->spare;
		ahead->spare = run;
	}
	*runs = (struct runs){ .last = &runs->first };
}

/* False when out of memory. */
static bool add_run(struct sess_ahead *ahead, struct runs *runs, int fd,
		    const struct archive_names *names, size_t first)
{
	struct sess_run *run = ahead->spare;
	size_t left = names->count - first;

	if (run)
		ahead->spare = run->next;
	else
		run = malloc(sizeof(*run));
	if (!run)
		return false;
	run->next = NULL;
	run->state = STATE_WAITS;
	run->fd = fd;
	run->names = *names;
	run->first = first;
	run->count = left < RUN_NAMES ? left : RUN_NAMES;
	*runs->last = run;
	runs->last = &run->next;
	runs->count++;
	return true;
}

/* As many runs as there may be, from INDEX on where there is none. */
static void fill_runs(struct sess_ahead *ahead, struct runs *runs, int fd,
		      const struct archive_names *names, size_t index, unsigned max)
{
	for (const struct sess_run *run = runs->first; run; run = run->next)
		index = run->first + run->count;
	while (runs->count < max && index < names->count && add_run(ahead, runs, fd, names, index))
		index += RUN_NAMES;
}

/*
 * The second thread
 */

/* Opens and reads the directory.  Unlocks meanwhile. */
static void take_guess(struct sess_ahead *ahead)
{
	struct guess *guess = &ahead->guess;

	guess->state = STATE_TAKEN;
	pthread_mutex_unlock(&ahead->lock);
	guess->fd = openat(guess->at, guess->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (guess->fd < 0) {
		guess->fd = -errno;
	} else {
		int rc = archive_names_read(guess->fd, &guess->names);

		if (rc < 0) {
			close(guess->fd);
			guess->fd = rc;
		}
	}
	close(move_fd(guess->at));
	pthread_mutex_lock(&ahead->lock);
	if (guess->fd >= 0 && guess->names.count >= SESS_AHEAD_MIN)
		fill_runs(ahead, &guess->runs, guess->fd, &guess->names, 0, RUNS);
	done(ahead, &guess->state);
}

static bool work(struct sess_ahead *ahead)
{
	struct sess_run *run = waiting_run(&ahead->runs);

	if (!run && ahead->guess.state == STATE_READY)
		run = waiting_run(&ahead->guess.runs);
	if (run)
		take_run(ahead, run);
	else if (ahead->guess.state == STATE_WAITS)
		take_guess(ahead);
	else
		return false;
	return true;
}

static void *help(void *arg)
{
	struct sess_ahead *ahead = arg;

	pthread_mutex_lock(&ahead->lock);
	while (!ahead->over) {
		if (work(ahead))
			continue;
		ahead->idle = true;
		pthread_cond_wait(&ahead->work, &ahead->lock);
		ahead->idle = false;
	}
	pthread_mutex_unlock(&ahead->lock);
	return NULL;
}

static void call_help(struct sess_ahead *ahead)
{
	if (ahead->idle)
		pthread_cond_signal(&ahead->work);
}

static bool has_two_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

static bool start(struct sess_ahead *ahead)
{
	pthread_attr_t attributes;
	bool started;

	if (!has_two_processors() || pthread_attr_init(&attributes))
		return false;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	started = pthread_create(&ahead->thread, &attributes, help, ahead) == 0;
	pthread_attr_destroy(&attributes);
	return started;
}

/*
 * The walk
 */

struct sess_ahead *sess_ahead_new(void)
{
	struct sess_ahead *ahead = calloc(1, sizeof(*ahead));

	if (!ahead)
		return NULL;
	pthread_mutex_init(&ahead->lock, NULL);
	pthread_cond_init(&ahead->work, NULL);
	pthread_cond_init(&ahead->done, NULL);
	ahead->runs.last = &ahead->runs.first;
	ahead->guess.runs.last = &ahead->guess.runs.first;
	ahead->helped = start(ahead);
	return ahead;
}

/* Lock held. */
static void drop_guess(struct sess_ahead *ahead)
{
	struct guess *guess = &ahead->guess;

	if (guess->state == STATE_WAITS) {
		close(move_fd(guess->at));
		guess->state = STATE_NONE;
	}
	await(ahead, &guess->state);
	drop_runs(ahead, &guess->runs);
	if (guess->state == STATE_READY && guess->fd >= 0) {
		archive_names_free(&guess->names);
		close(guess->fd);
	}
	guess->state = STATE_NONE;
}

void sess_ahead_free(struct sess_ahead *ahead)
{
	if (!ahead)
		return;
	pthread_mutex_lock(&ahead->lock);
	drop_runs(ahead, &ahead->runs);
	drop_guess(ahead);
	ahead->over = true;
	call_help(ahead);
	pthread_mutex_unlock(&ahead->lock);
	if (ahead->helped)
		pthread_join(ahead->thread, NULL);
	while (ahead->spare) {
		struct sess_run *run = ahead->spare;

		ahead->spare = run->next;
		free(run);
	}
	pthread_cond_destroy(&ahead->done);
	pthread_cond_destroy(&ahead->work);
	pthread_mutex_destroy(&ahead->lock);
	free(ahead);
}

/* Lock held.  The first of the runs, done. */
static struct sess_run *take_first(struct sess_ahead *ahead)
{
	struct sess_run *run = ahead->runs.first, *other;

	ahead->runs.first = run->next;
	if (!run->next)
		ahead->runs.last = &ahead->runs.first;
	ahead->runs.count--;
	if (run->state == STATE_WAITS)
		take_run(ahead, run);
	while (run->state != STATE_READY && (other = waiting_run(&ahead->runs)) != NULL)
		take_run(ahead, other);
	await(ahead, &run->state);
	return run;
}

struct sess_run *sess_ahead_next(struct sess_ahead *ahead, int fd,
				 const struct archive_names *names, size_t index, bool alone)
{
	struct sess_run *run = NULL;
	const struct sess_run *first;

	pthread_mutex_lock(&ahead->lock);
	first = ahead->runs.first;
	if (first && (first->names.offsets != names->offsets || first->first != index))
		drop_runs(ahead, &ahead->runs);
	fill_runs(ahead, &ahead->runs, fd, names, index, alone || !ahead->helped ? 1 : 1 + RUNS);
	if (ahead->runs.count > 1)
		call_help(ahead);
	if (ahead->runs.first)
		run = take_first(ahead);
	pthread_mutex_unlock(&ahead->lock);
	return run;
}

void sess_ahead_leave(struct sess_ahead *ahead)
{
	pthread_mutex_lock(&ahead->lock);
	drop_runs(ahead, &ahead->runs);
	pthread_mutex_unlock(&ahead->lock);
}

void sess_run_free(struct sess_ahead *ahead, struct sess_run *run)
{
	if (!run)
		return;
	pthread_mutex_lock(&ahead->lock);
	run->next = ahead->spare;
	ahead->spare = run;
	pthread_mutex_unlock(&ahead->lock);
}

bool sess_run_has(const struct sess_run *run, size_t index)
{
	return run && index >= run->first && index - run->first < run->count;
}

int sess_run_get(const struct sess_run *run, size_t index, const struct stat **st)
{
	*st = &run->found[index - run->first];
	return run->codes[index - run->first];
}

void sess_ahead_expect(struct sess_ahead *ahead, int at, const char *name, unsigned parent,
		       size_t index)
{
	struct guess *guess = &ahead->guess;

	pthread_mutex_lock(&ahead->lock);
	if (ahead->helped && guess->state == STATE_NONE) {
		guess->at = fcntl(at, F_DUPFD_CLOEXEC, 0);
		snprintf(guess->name, sizeof(guess->name), "%s", name);
		guess->parent = parent;
		guess->index = index;
		if (guess->at >= 0)
			guess->state = STATE_WAITS;
		call_help(ahead);
	}
	pthread_mutex_unlock(&ahead->lock);
}

int sess_ahead_enter(struct sess_ahead *ahead, unsigned parent, size_t index,
		     struct archive_names *names)
{
	struct guess *guess = &ahead->guess;
	int rc = -EAGAIN;

	pthread_mutex_lock(&ahead->lock);
	drop_runs(ahead, &ahead->runs);
	if (guess->state != STATE_NONE && guess->parent == parent && guess->index == index) {
		if (guess->state == STATE_WAITS)
			take_guess(ahead);
		await(ahead, &guess->state);
		rc = guess->fd;
		if (rc >= 0) {
			*names = guess->names;
			ahead->runs = guess->runs;
			if (!ahead->runs.first)
				ahead->runs.last = &ahead->runs.first;
			guess->runs = (struct runs){ .last = &guess->runs.first };
		}
		guess->state = STATE_NONE;
	}
	pthread_mutex_unlock(&ahead->lock);
	return rc;
}
