/*
 * ws_parse.c - what the guest's stat prints, taken apart.
 *
 * A record is WS_STAT_FORMAT and a newline.  A path that this side made has no "//", so the first
 * one ends the name, whatever bytes the name has; what follows has no newline but the last.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "protocol/line/ws.h"

/* A cursor that latches the first thing that is not as it should be. */
struct cursor {
	const char *at, *end;
	bool wrong;
};

static void expect(struct cursor *in, char c)
{
	if (in->at < in->end && *in->at == c)
		in->at++;
	else
		in->wrong = true;
}

static int digit(char c, unsigned base)
{
	int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;

	return value < (int)base ? value : -1;
}

static uint64_t number(struct cursor *in, unsigned base)
{
	const char *start = in->at;
	uint64_t value = 0;

	for (; in->at < in->end && digit(*in->at, base) >= 0; in->at++)
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit(*in->at, base), &value))
			in->wrong = true;
	if (in->at == start)
		in->wrong = true;
	return value;
}

static uint64_t number_and(struct cursor *in, unsigned base, char c)
{
	uint64_t value = number(in, base);

	expect(in, c);
	return value;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
	int64_t era, of_era, of_year;

	year -= month <= 2; /* years begin in March: the leap day is their last */
	era = (year >= 0 ? year : year - 399) / 400;
	of_era = year - era * 400;
	of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* 2026-11-24 05:52:03.893522260 +0000 */
static struct timespec time_stamp(struct cursor *in)
{
	bool before_christ = in->at < in->end && *in->at == '-';
	uint64_t year, month, day, hour, minute, second, nsec;

	if (before_christ)
		in->at++;
	year = number_and(in, 10, '-');
	month = number_and(in, 10, '-');
	day = number_and(in, 10, ' ');
	hour = number_and(in, 10, ':');
	minute = number_and(in, 10, ':');
	second = number_and(in, 10, '.');
	nsec = number_and(in, 10, ' ');
	for (const char *c = "+0000"; *c; c++)
		expect(in, *c);
	if (year > INT32_MAX || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
	    minute > 59 || second > 60 || nsec > 999999999)
		in->wrong = true;
	if (in->wrong)
		return (struct timespec){ 0 };
	return (struct timespec){
		.tv_sec = days_from_date(before_christ ? -(int64_t)year : (int64_t)year,
					 (int64_t)month, (int64_t)day) *
				  86400 +
			  (int64_t)(hour * 3600 + minute * 60 + second),
		.tv_nsec = (long)nsec,
	};
}

static void attributes(struct cursor *in, struct ws_attr *attr)
{
	uint64_t size, blocks;
	unsigned rdev_major;

	attr->mode = (uint32_t)number_and(in, 16, ' ');
	attr->ino = number_and(in, 10, ' ');
	attr->nlink = (uint32_t)number_and(in, 10, ' ');
	attr->uid = (uint32_t)number_and(in, 10, ' ');
	attr->gid = (uint32_t)number_and(in, 10, ' ');
	size = number_and(in, 10, ' ');
	blocks = number_and(in, 10, ' ');
	rdev_major = (unsigned)number_and(in, 16, ' ');
	attr->rdev = makedev(rdev_major, (unsigned)number_and(in, 16, ' '));
	attr->dev = number_and(in, 10, ' ');
	if (size > INT64_MAX || blocks > INT64_MAX)
		in->wrong = true;
	attr->size = (int64_t)size;
	attr->blocks = (int64_t)blocks;
	attr->atime = time_stamp(in);
	expect(in, '|');
	attr->mtime = time_stamp(in);
	expect(in, '|');
	attr->ctime = time_stamp(in);
}

int ws_parse_record(const char **text, const char *end, struct ws_record *out)
{
	const char *slashes = memmem(*text, (size_t)(end - *text), "//", 2);
	struct cursor in = { .at = slashes ? slashes + 2 : end, .end = end };

	*out = (struct ws_record){ .name = *text };
	if (!slashes)
		return -EPROTO;
	out->name_len = (size_t)(slashes - *text);
	attributes(&in, &out->attr);
	expect(&in, '\n');
	if (in.wrong)
		return -EPROTO;
	*text = in.at;
	return 0;
}

int ws_parse_numbers(const char *text, uint64_t *numbers, size_t count)
{
	struct cursor in = { .at = text, .end = text + strlen(text) };

	for (size_t i = 0; i < count; i++) {
		while (in.at < in.end && isspace((unsigned char)*in.at))
			in.at++;
		numbers[i] = number(&in, 10);
	}
	return in.wrong ? -EPROTO : 0;
}
