/* tar_maker.c - see tar_maker.h. */
#include "tar_maker.h"

#include <stdio.h>
#include <string.h>

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, target[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};

static void put(struct buf *tar, const void *bytes, size_t len)
{
	static const char zeros[512];

	buf_add(tar, bytes, len);
	buf_add(tar, zeros, (512 - len % 512) % 512);
}

static void put_header(struct buf *tar, char type, const char *name, const char *target,
		       size_t size, unsigned mode)
{
	struct header header = { .type = type, .magic = "ustar", .version = { '0', '0' } };
	const unsigned char *bytes = (const unsigned char *)&header;
	unsigned sum = 0;

	memcpy(header.name, name, strnlen(name, sizeof(header.name)));
	memcpy(header.target, target, strnlen(target, sizeof(header.target)));
	snprintf(header.mode, sizeof(header.mode), "%07o", mode);
	snprintf(header.uid, sizeof(header.uid), "%07o", 0);
	snprintf(header.gid, sizeof(header.gid), "%07o", 0);
	snprintf(header.size, sizeof(header.size), "%011zo", size);
	snprintf(header.mtime, sizeof(header.mtime), "%011o", 1000000000);
	snprintf(header.major, sizeof(header.major), "%07o", 1);
	snprintf(header.minor, sizeof(header.minor), "%07o", 3);
	memset(header.sum, ' ', sizeof(header.sum));
	for (size_t i = 0; i < sizeof(header); i++)
		sum += bytes[i];
	snprintf(header.sum, sizeof(header.sum), "%06o", sum);
	put(tar, &header, sizeof(header));
}

void tar_add_pax(struct buf *tar, const char *key, const char *value)
{
	struct buf record = BUF_INIT(1 << 20);
	size_t rest = strlen(key) + strlen(value) + 3, digits = 1;
	char number[16];

	/* The length counts its own digits. */
	while ((size_t)snprintf(number, sizeof(number), "%zu", rest + digits) > digits)
		digits++;
	buf_addf(&record, "%zu %s=%s\n", rest + digits, key, value);
	put_header(tar, 'x', "pax", "", record.len, 0644);
	put(tar, record.data, record.len);
	buf_free(&record);
}

void tar_add(struct buf *tar, char type, const char *name, const char *target, const char *text,
	     unsigned mode)
{
	if (strlen(name) > 99)
		tar_add_pax(tar, "path", name);
	if (target && strlen(target) > 99)
		tar_add_pax(tar, "linkpath", target);
	put_header(tar, type, name, target ? target : "", text ? strlen(text) : 0, mode);
	if (text)
		put(tar, text, strlen(text));
}

void tar_finish(struct buf *tar)
{
	static const char zeros[1024];

	buf_add(tar, zeros, sizeof(zeros));
}
