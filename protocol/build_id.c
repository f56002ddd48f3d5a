/*
 * build_id.c - see build_id.h.
 *
 * The file may be anything: every offset is compared with what was read before it is followed.
 */
#include "protocol/build_id.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"

/* What is looked at of one segment of notes. */
#define NOTES_MAX 4096
#define SEGMENTS_MAX 64

#define MAX_BYTES ((BUILD_ID_SIZE - 1) / 2)

static size_t align4(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

/* Looks for the id among LEN bytes of notes. */
static bool find(const unsigned char *notes, size_t len, char out[static BUILD_ID_SIZE])
{
	while (len >= sizeof(Elf32_Nhdr)) {
		Elf32_Nhdr note; /* the same in both classes */
		size_t name, size;

		memcpy(&note, notes, sizeof(note));
		notes += sizeof(note);
		len -= sizeof(note);
		name = align4(note.n_namesz);
		size = align4(note.n_descsz);
		if (name > len || size > len - name)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    !memcmp(notes, "GNU", 4) && note.n_descsz && note.n_descsz <= MAX_BYTES) {
			for (size_t i = 0; i < note.n_descsz; i++)
				snprintf(out + 2 * i, 3, "%02x", notes[name + i]);
			return true;
		}
		notes += name + size;
		len -= name + size;
	}
	return false;
}

/* Where a segment of notes is in the file. */
struct place {
	uint64_t offset, size;
};

/* The header of segment NUMBER, where it is one of notes. */
static bool read_segment(int fd, const Elf64_Ehdr *head, bool wide, unsigned number,
			 struct place *place)
{
	Elf64_Phdr segment;

	if (wide) {
		if (pread(fd, &segment, sizeof(segment),
			  (off_t)(head->e_phoff + (uint64_t)number * sizeof(segment))) !=
		    (ssize_t)sizeof(segment))
			return false;
	} else {
		Elf32_Phdr narrow;

		if (pread(fd, &narrow, sizeof(narrow),
			  (off_t)(head->e_phoff + (uint64_t)number * sizeof(narrow))) !=
		    (ssize_t)sizeof(narrow))
			return false;
		segment = (Elf64_Phdr){
			.p_type = narrow.p_type,
			.p_offset = narrow.p_offset,
			.p_filesz = narrow.p_filesz,
		};
	}
	*place = (struct place){ segment.p_offset, segment.p_filesz };
	return segment.p_type == PT_NOTE;
}

/* 0, and *HEAD as one of 64 bits with what is needed of it, or -ENOEXEC. */
static int read_head(int fd, Elf64_Ehdr *head, bool *wide)
{
	const unsigned char native = __BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB;
	Elf32_Ehdr narrow;

	if (pread(fd, head, sizeof(*head), 0) != (ssize_t)sizeof(*head) ||
	    memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_ident[EI_DATA] != native)
		return -ENOEXEC;
	*wide = head->e_ident[EI_CLASS] == ELFCLASS64;
	if (!*wide) {
		memcpy(&narrow, head, sizeof(narrow));
		head->e_phoff = narrow.e_phoff;
		head->e_phnum = narrow.e_phnum;
		head->e_phentsize = narrow.e_phentsize;
	}
	if (head->e_phoff > INT32_MAX ||
	    head->e_phentsize != (*wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return -ENOEXEC;
	return 0;
}

static int read_file(int fd, char out[static BUILD_ID_SIZE])
{
	unsigned char notes[NOTES_MAX];
	Elf64_Ehdr head;
	bool wide;
	int rc = read_head(fd, &head, &wide);

	for (unsigned i = 0; rc == 0 && i < head.e_phnum && i < SEGMENTS_MAX; i++) {
		struct place place;
		ssize_t len;

		if (!read_segment(fd, &head, wide, i, &place) || place.offset > INT32_MAX)
			continue;
		len = pread(fd, notes, place.size < NOTES_MAX ? place.size : NOTES_MAX,
			    (off_t)place.offset);
		if (len > 0 && find(notes, (size_t)len, out))
			return 0;
	}
	return rc < 0 ? rc : -ENODATA;
}

int build_id_of_file(const char *path, char out[static BUILD_ID_SIZE], struct error *err)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	out[0] = '\0';
	if (fd < 0)
		return error_set(err, errno, "cannot open %s: %s", path, strerror(errno));
	rc = read_file(fd, out);
	if (rc == -ENOEXEC)
		return error_set(err, ENOEXEC, "%s is no program", path);
	if (rc < 0)
		return error_set(err, -rc, "%s has no build id", path);
	return 0;
}

/* The first object is the program itself. */
static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

		if (segment->p_type == PT_NOTE &&
		    find((const unsigned char *)(info->dlpi_addr + segment->p_vaddr),
			 segment->p_filesz, arg))
			break;
	}
	return 1;
}

void build_id_of_self(char out[static BUILD_ID_SIZE])
{
	out[0] = '\0';
	dl_iterate_phdr(look, out);
}
