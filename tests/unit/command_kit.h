/*
 * command_kit.h - what the tests of detached commands do again and again, on fake_guest.h's guest.
 */
#ifndef TESTS_COMMAND_KIT_H
#define TESTS_COMMAND_KIT_H

#include "fake_guest.h"
#include "protocol/line/lproc.h"

extern const struct proc_settings in_root; /* cwd / */

extern char uploaded_to[4096]; /* the destination of the last line_extract_archive */

/* cmocka set-up and tear-down: *STATE is the guest; every process of its commands must end. */
int command_setup(void **state);
int command_teardown(void **state);

/* All of them fail the test on an error. */
struct lproc_command *start_with(struct guest *guest, const char *command,
				 const struct proc_settings *settings, int fd, int64_t len,
				 double timeout);
struct lproc_command *start(struct guest *guest, const char *command);
struct proc_command_status status_of(struct lproc_command *command);
int wait_for_end(struct lproc_command *command); /* its exit code */
void wait_for_output(struct lproc_command *command, int64_t len);
ssize_t read_at(struct lproc_command *command, int stream, int64_t offset, void *bytes, size_t len);
void assert_stream(struct lproc_command *command, int stream, const char *want, size_t len);
#define assert_output(command, stream, text) assert_stream(command, stream, text, sizeof(text) - 1)
void end(struct lproc_command *command);

/* What is done behind the callers' backs has had its effect: no file, no process is left. */
void wait_until_clean(struct guest *guest);

#endif
