/* name.h - the names that shells, services and environment variables may have. */
#ifndef VSOCKFS_AGENT_NAME_H
#define VSOCKFS_AGENT_NAME_H

#include <stdbool.h>

/* [A-Za-z0-9][A-Za-z0-9._-]{0,63} */
bool name_is_valid(const char *name);
/* [A-Za-z_][A-Za-z0-9_]{0,63} */
bool name_is_variable(const char *name);
/* Takes white space off both ends, in place. */
void name_trim(char *name);

#endif
