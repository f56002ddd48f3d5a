/*
 * log.h - what the daemon has to say: stderr in the foreground, syslog behind.
 *
 * One line a message, control characters replaced (texts of guests get here).
 */
#ifndef VSOCKFS_LOG_H
#define VSOCKFS_LOG_H

#include <stdbool.h>
#include <syslog.h>

/* Says where messages go, before there is a second thread. */
void log_open(bool foreground);

/* PRIORITY is syslog's: LOG_ERR, LOG_WARNING, LOG_INFO. */
void log_message(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
