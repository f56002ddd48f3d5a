/*
 * ctl_world_internal.h - between the two halves of the made-up guest.
 */
#ifndef VSOCKFS_TESTS_CTL_WORLD_INTERNAL_H
#define VSOCKFS_TESTS_CTL_WORLD_INTERNAL_H

#include <stdbool.h>

bool world_is_gone(void);
void world_proc_reset(void);
/* No shell and no command is left in the guest. */
void world_proc_check_empty(void);

#endif
