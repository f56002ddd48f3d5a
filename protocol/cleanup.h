/*
 * cleanup.h - scope-bound ownership for C.
 *
 * A variable declared with one of these attributes owns what it holds until
 * the scope ends or until it is moved out with move_ptr() or move_fd().  All of
 * them keep errno, so that a cleanup on an error path does not hide the error.
 */
#ifndef VSOCKFS_CLEANUP_H
#define VSOCKFS_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *slot)
{
	int saved = errno;

	free(*(void **)slot);
	errno = saved;
}

static inline void cleanup_close(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

#define autofree __attribute__((cleanup(cleanup_free)))
#define autoclose __attribute__((cleanup(cleanup_close)))

/* Gives the pointer away: the variable is NULL afterwards. */
#define move_ptr(ptr)                                                                              \
	__extension__({                                                                            \
		__typeof__(ptr) moved_ = (ptr);                                                    \
		(ptr) = NULL;                                                                      \
		moved_;                                                                            \
	})

/* Gives the descriptor away: the variable is -1 afterwards. */
#define move_fd(fd)                                                                                \
	__extension__({                                                                            \
		int moved_ = (fd);                                                                 \
		(fd) = -1;                                                                         \
		moved_;                                                                            \
	})

#endif
