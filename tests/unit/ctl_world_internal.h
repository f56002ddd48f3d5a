/*
 * ctl_world_internal.h - between the two halves of the made-up guest.
 */
#ifndef VSOCKFS_TESTS_CTL_WORLD_INTERNAL_H
#define VSOCKFS_TESTS_CTL_WORLD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/error.h"

struct proc_settings;

#define WORLD_ROOM 4096 /* bytes of any text of a program's */

/* Guards what the programs are and do. */
extern pthread_mutex_t world_lock;

bool world_is_gone(void);
void world_proc_reset(void);
void world_services_reset(void);
/* No shell and no command is left in the guest. */
void world_proc_check_empty(void);

/* Begins a request: takes world_lock, or fails without it when the guest is gone. */
int world_request(struct error *err);
/* A slice of TEXT; world_lock is held and let go. */
ssize_t world_slice(const char *text, int64_t offset, void *bytes, size_t len);
/* For world_command_settings; world_lock held. */
void world_note_settings(const struct proc_settings *settings, double timeout);

#endif
