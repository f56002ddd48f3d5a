/*
 * log.c - stderr or syslog.
 *
 * The one thing of the program that is kept in a static: syslog itself has its
 * connection there, and a logger that had to be passed around would be in
 * every signature.
 */
#include "fs/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "protocol/utf8.h"

#define LINE_MAX_BYTES 1024

static bool to_stderr = true; /* written once, before there is a second thread */

void log_open(bool foreground)
{
	to_stderr = foreground;
	if (!foreground)
		openlog("vsockfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void log_message(int priority, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	utf8_mask(line);
	if (!to_stderr)
		syslog(priority, "%s", line);
	else if (priority <= LOG_WARNING) /* who sits in front knows what he did */
		fprintf(stderr, "vsockfs: %s\n", line);
}
