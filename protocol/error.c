/*
 * error.c - formatting of sentences, and the way back from a C library's
 * message to its errno (a guest's tools report in words only).
 */
#include "protocol/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "protocol/utf8.h"

/* Drops the half of a UTF-8 character that a cut has left at the end. */
static void trim_cut(char *text, size_t len)
{
	size_t tail = 0;

	while (tail < len && tail < 3 && ((unsigned char)text[len - tail - 1] & 0xc0) == 0x80)
		tail++;
	if (tail == len)
		return;

	unsigned char lead = (unsigned char)text[len - tail - 1];
	size_t need = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;

	if (tail < need)
		text[len - tail - 1] = '\0';
}

/* Formats beside the target, since the arguments may point into it. */
static __attribute__((format(printf, 2, 0))) void format_into(char *target, const char *format,
							      va_list args)
{
	char text[LIMIT_ERROR_TEXT];
	int len = vsnprintf(text, sizeof(text), format, args);

	if (len < 0)
		text[0] = '\0';
	else if ((size_t)len >= sizeof(text))
		trim_cut(text, sizeof(text) - 1);
	utf8_mask(text); /* one line without terminal escapes: it may hold what a guest sent */
	memcpy(target, text, strlen(text) + 1);
}

int error_set(struct error *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return -code;
	va_start(args, format);
	format_into(err->text, format, args);
	va_end(args);
	err->code = code;
	return -code;
}

int error_wrap(struct error *err, int rc, const char *format, ...)
{
	char context[LIMIT_ERROR_TEXT];
	va_list args;

	if (!err)
		return rc;
	va_start(args, format);
	format_into(context, format, args);
	va_end(args);
	return error_set(err, err->code, "%s: %s", context, err->text);
}

struct error *error_place(struct error *err, struct error *own)
{
	own->code = 0;
	return err ? err : own;
}

int error_copy(struct error *to, const struct error *from)
{
	if (!from)
		return 0;
	if (to && to != from) {
		to->code = from->code;
		memcpy(to->text, from->text, sizeof(to->text));
	}
	return -from->code;
}

/* What strerror says in glibc, in musl, and in older releases of either. */
static const struct {
	const char *text;
	int code;
} messages[] = {
	{ "Operation not permitted", EPERM },
	{ "No such file or directory", ENOENT },
	{ "No such process", ESRCH },
	{ "Interrupted system call", EINTR },
	{ "Input/output error", EIO },
	{ "I/O error", EIO },
	{ "No such device or address", ENXIO },
	{ "Argument list too long", E2BIG },
	{ "Exec format error", ENOEXEC },
	{ "Bad file descriptor", EBADF },
	{ "No child processes", ECHILD },
	{ "No child process", ECHILD },
	{ "Resource temporarily unavailable", EAGAIN },
	{ "Cannot allocate memory", ENOMEM },
	{ "Out of memory", ENOMEM },
	{ "Permission denied", EACCES },
	{ "Bad address", EFAULT },
	{ "Device or resource busy", EBUSY },
	{ "Resource busy", EBUSY },
	{ "File exists", EEXIST },
	{ "Invalid cross-device link", EXDEV },
	{ "Cross-device link", EXDEV },
	{ "No such device", ENODEV },
	{ "Not a directory", ENOTDIR },
	{ "Is a directory", EISDIR },
	{ "Invalid argument", EINVAL },
	{ "Too many open files in system", ENFILE },
	{ "Too many open files", EMFILE },
	{ "No file descriptors available", EMFILE },
	{ "Inappropriate ioctl for device", ENOTTY },
	{ "Not a tty", ENOTTY },
	{ "Text file busy", ETXTBSY },
	{ "File too large", EFBIG },
	{ "No space left on device", ENOSPC },
	{ "Illegal seek", ESPIPE },
	{ "Invalid seek", ESPIPE },
	{ "Read-only file system", EROFS },
	{ "Too many links", EMLINK },
	{ "Broken pipe", EPIPE },
	{ "Numerical result out of range", ERANGE },
	{ "Result not representable", ERANGE },
	{ "File name too long", ENAMETOOLONG },
	{ "Filename too long", ENAMETOOLONG },
	{ "Function not implemented", ENOSYS },
	{ "Directory not empty", ENOTEMPTY },
	{ "Too many levels of symbolic links", ELOOP },
	{ "Symbolic link loop", ELOOP },
	{ "No data available", ENODATA },
	{ "Value too large for defined data type", EOVERFLOW },
	{ "Value too large for data type", EOVERFLOW },
	{ "Operation not supported", EOPNOTSUPP },
	{ "Not supported", EOPNOTSUPP },
	{ "Connection refused", ECONNREFUSED },
	{ "Connection reset by peer", ECONNRESET },
	{ "Connection timed out", ETIMEDOUT },
	{ "Operation timed out", ETIMEDOUT },
	{ "Disk quota exceeded", EDQUOT },
	{ "Quota exceeded", EDQUOT },
	{ "Stale file handle", ESTALE },
	{ "Stale NFS file handle", ESTALE },
};

/* Python puts the file name behind the message: "[Errno 2] MESSAGE: 'NAME'". */
static const char *after_python_errno(const char *text)
{
	const char *at = strstr(text, "[Errno ");

	if (!at)
		return NULL;
	at += strlen("[Errno ");
	while (isdigit((unsigned char)*at))
		at++;
	return at[0] == ']' && at[1] == ' ' ? at + 2 : NULL;
}

int error_from_text(const char *text, int fallback)
{
	const char *python = after_python_errno(text);
	size_t len = strlen(text), best = 0;
	int code = fallback;

	while (len > 0 && (isspace((unsigned char)text[len - 1]) || text[len - 1] == '.'))
		len--;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		size_t size = strlen(messages[i].text);
		bool found;

		if (size <= best)
			continue;
		if (python)
			found = strncmp(python, messages[i].text, size) == 0;
		else
			/* busybox has some of them in lower case; a word must begin here */
			found = size <= len &&
				strncasecmp(text + len - size, messages[i].text, size) == 0 &&
				(size == len || !isalnum((unsigned char)text[len - size - 1]));
		if (found) {
			best = size;
			code = messages[i].code;
		}
	}
	return code;
}
