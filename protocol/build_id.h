/*
 * build_id.h - which build of a program it is: the linker's GNU build id, in hex.
 *
 * An agent tells its own in its hello; whoever brings an agent to a guest reads the same from the
 * file that it would bring.  Both are the linker's hash over the program, so equal ids are equal
 * programs.
 */
#ifndef VSOCKFS_BUILD_ID_H
#define VSOCKFS_BUILD_ID_H

#include "protocol/error.h"

/* Hex digits and a NUL: for SHA-1, and for what else linkers offer. */
#define BUILD_ID_SIZE 65

/*
 * That of the ELF file PATH, of any machine with this one's byte order.  -ENOEXEC for what is none,
 * or damaged, -ENODATA for a program that was linked without one.
 */
int build_id_of_file(const char *path, char out[static BUILD_ID_SIZE], struct error *err);

/* That of this very program; "" where it was linked without one. */
void build_id_of_self(char out[static BUILD_ID_SIZE]);

#endif
