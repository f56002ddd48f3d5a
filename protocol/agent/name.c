/* name.c - see name.h. */
#include "protocol/agent/name.h"

#include <string.h>

#include "protocol/limits.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static bool matches(const char *name, const char *first, const char *rest, size_t max)
{
	size_t len = strlen(name);

	return len > 0 && len <= max && strchr(first, name[0]) && strspn(name, rest) == len;
}

bool name_is_valid(const char *name)
{
	return matches(name, LETTERS DIGITS, LETTERS DIGITS "._-", LIMIT_ENTITY_NAME);
}

bool name_is_variable(const char *name)
{
	return matches(name, LETTERS "_", LETTERS DIGITS "_", LIMIT_ENV_NAME);
}

void name_trim(char *name)
{
	static const char space[] = " \t\n\v\f\r";
	size_t skip = strspn(name, space), len = strlen(name);

	while (len > skip && strchr(space, name[len - 1]))
		len--;
	memmove(name, name + skip, len - skip);
	name[len - skip] = '\0';
}
