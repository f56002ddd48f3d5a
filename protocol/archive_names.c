/* archive_names.c - see archive_names.h. */
#include "protocol/archive_names.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/limits.h"

#define MAX_TEXT (1u << 30)

/* Of one getdents64: what the C library takes, too. */
#define ENTRIES_SIZE (32u << 10)

/*
 * A key has some bytes of a name, and which one it is: so of so many only, which also bounds the
 * memory.
 */
#define KEY_BYTES 6
#define INDEX_BITS 16
#define INDEX_MASK 0xffff
#define KEYED_MAX 65536

static int add_entries(struct archive_names *names, const char *at, const char *end)
{
	while (at < end) {
		const struct dirent64 *entry = (const struct dirent64 *)at;

		at += entry->d_reclen;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (names->count == LIMIT_LISTING_ENTRIES)
			return -EFBIG;
		buf_add(&names->text, entry->d_name, strlen(entry->d_name) + 1);
		if (names->text.overflow)
			return names->text.len > MAX_TEXT / 2 ? -EFBIG : -ENOMEM;
		names->count++;
	}
	return 0;
}

/* Without a DIR, which would have to be opened and allocated for each directory of a tree. */
static int collect(int fd, struct archive_names *names)
{
	_Alignas(struct dirent64) char bytes[ENTRIES_SIZE];
	int rc = lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;

	while (rc == 0) {
		ssize_t n = getdents64(fd, bytes, sizeof(bytes));

		if (n <= 0)
			return n < 0 ? -errno : 0;
		rc = add_entries(names, bytes, bytes + n);
	}
	return rc;
}

static int compare_names(const void *left, const void *right, void *text)
{
	const uint32_t *a = left, *b = right;

	return strcmp((const char *)text + *a, (const char *)text + *b);
}

/* Names by the bytes behind what all begin with, and by where they are in OFFSETS. */
struct keyed {
	const char *text;
	uint32_t *offsets;
};

static int compare_keyed(const void *left, const void *right, void *arg)
{
	const uint64_t *a = left, *b = right;
	const struct keyed *names = arg;

	if ((*a ^ *b) >> INDEX_BITS)
		return *a < *b ? -1 : 1;
	return strcmp(names->text + names->offsets[*a & INDEX_MASK],
		      names->text + names->offsets[*b & INDEX_MASK]);
}

static size_t common(const char *left, const char *right, size_t max)
{
	size_t len = 0;

	while (len < max && left[len] == right[len])
		len++;
	return len;
}

static uint64_t key_of(const char *name, uint64_t index)
{
	uint64_t key = 0;

	for (int i = 0; i < KEY_BYTES; i++) {
		key = key << 8 | (unsigned char)*name;
		name += *name != '\0';
	}
	return key << INDEX_BITS | index;
}

/* Most names differ early: then their text is not touched again for every comparison. */
static int sort_keyed(struct archive_names *names)
{
	uint64_t *keys = malloc(names->count * sizeof(*keys));
	uint32_t *offsets = malloc(names->count * sizeof(*offsets));
	struct keyed keyed = { names->text.data, names->offsets };
	size_t prefix = strlen(keyed.text);

	if (!keys || !offsets) {
		free(keys);
		free(offsets);
		return -ENOMEM;
	}
	for (size_t i = 1; i < names->count; i++)
		prefix = common(keyed.text, keyed.text + names->offsets[i], prefix);
	for (size_t i = 0; i < names->count; i++)
		keys[i] = key_of(keyed.text + names->offsets[i] + prefix, i);
	qsort_r(keys, names->count, sizeof(*keys), compare_keyed, &keyed);
	for (size_t i = 0; i < names->count; i++)
		offsets[i] = names->offsets[keys[i] & INDEX_MASK];
	free(keys);
	free(names->offsets);
	names->offsets = offsets;
	return 0;
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
	if (names->count <= KEYED_MAX)
		return sort_keyed(names);
	qsort_r(names->offsets, names->count, sizeof(*names->offsets), compare_names,
		names->text.data);
	return 0;
}

int archive_names_read(int fd, struct archive_names *names)
{
	int rc;

	*names = (struct archive_names){ .text = BUF_INIT(MAX_TEXT) };
	rc = collect(fd, names);
	if (rc == 0)
		rc = sort(names);
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
