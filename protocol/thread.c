/*
 * thread.c - starting detached threads.
 */
#include "protocol/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define STACK_SIZE (256u << 10) /* none of them recurses */

struct start {
	void (*run)(void *arg);
	void *arg;
};

static void *begin(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	start.run(start.arg);
	return NULL;
}

int thread_detach(void (*run)(void *arg), void *arg)
{
	struct start *start = malloc(sizeof(*start));
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int rc;

	if (!start)
		return -ENOMEM;
	*start = (struct start){ .run = run, .arg = arg };
	if (pthread_attr_init(&attr) != 0) {
		free(start);
		return -ENOMEM;
	}
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, &attr, begin, start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		free(start); /* else begin has it */
	return -rc;
}
