/* archive_names.c - see archive_names.h. */
#include "protocol/archive_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"
#include "protocol/limits.h"

#define MAX_TEXT (1u << 30)

static int collect(DIR *dir, struct archive_names *names)
{
	const struct dirent *entry;

	while ((errno = 0, entry = readdir(dir)) != NULL) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (names->count == LIMIT_LISTING_ENTRIES)
			return -EFBIG;
		buf_add(&names->text, entry->d_name, strlen(entry->d_name) + 1);
		if (names->text.overflow)
			return names->text.len > MAX_TEXT / 2 ? -EFBIG : -ENOMEM;
		names->count++;
	}
	return -errno;
}

static int compare(const void *left, const void *right, void *text)
{
	const uint32_t *a = left, *b = right;

	return strcmp((const char *)text + *a, (const char *)text + *b);
}

static int sort(struct archive_names *names)
{
	uint32_t at = 0;

	if (!names->count)
		return 0;
	names->offsets = malloc(names->count * sizeof(*names->offsets));
	if (!names->offsets)
		return -ENOMEM;
	for (size_t i = 0; i < names->count; i++) {
		names->offsets[i] = at;
		at += (uint32_t)strlen(names->text.data + at) + 1;
	}
	qsort_r(names->offsets, names->count, sizeof(*names->offsets), compare, names->text.data);
	return 0;
}

int archive_names_read(int fd, struct archive_names *names)
{
	/* A description of its own: readdir's position is not the caller's. */
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	int rc;

	*names = (struct archive_names){ .text = BUF_INIT(MAX_TEXT) };
	if (!dir) {
		rc = -errno;
		if (own >= 0)
			close(own);
		return rc;
	}
	rc = collect(dir, names);
	if (rc == 0)
		rc = sort(names);
	closedir(dir);
	if (rc < 0)
		archive_names_free(names);
	return rc;
}

void archive_names_free(struct archive_names *names)
{
	buf_free(&names->text);
	free(names->offsets);
	names->offsets = NULL;
	names->count = 0;
}

const char *archive_names_at(const struct archive_names *names, size_t index)
{
	return names->text.data + names->offsets[index];
}
