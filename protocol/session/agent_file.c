/*
 * agent_file.c - see agent_file.h.
 */
#include "protocol/session/agent_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/cleanup.h"

#define MAX_SIZE (INT64_C(64) << 20) /* of a program that is worth an upload */
#define MAX_SEGMENTS 64

struct machine {
	const char *name; /* uname -m */
	unsigned char class;
	uint16_t number;
};

static const struct machine machines[] = {
	{ "x86_64", ELFCLASS64, EM_X86_64 }, { "aarch64", ELFCLASS64, EM_AARCH64 },
	{ "arm64", ELFCLASS64, EM_AARCH64 }, { "riscv64", ELFCLASS64, EM_RISCV },
	{ "ppc64le", ELFCLASS64, EM_PPC64 }, { "s390x", ELFCLASS64, EM_S390 },
	{ "loongarch64", ELFCLASS64, 258 },  { "i686", ELFCLASS32, EM_386 },
	{ "i586", ELFCLASS32, EM_386 },      { "i386", ELFCLASS32, EM_386 },
	{ "armv8l", ELFCLASS32, EM_ARM },    { "armv7l", ELFCLASS32, EM_ARM },
	{ "armv6l", ELFCLASS32, EM_ARM },
};

static const struct machine *find_machine(const char *name)
{
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (strcmp(machines[i].name, name) == 0)
			return &machines[i];
	return NULL;
}

static bool read_at(int fd, uint64_t offset, void *bytes, size_t len)
{
	return offset <= INT32_MAX && pread(fd, bytes, len, (off_t)offset) == (ssize_t)len;
}

/* The type of segment NUMBER; PT_NULL where it cannot be read. */
static uint32_t segment_type(int fd, const Elf64_Ehdr *head, unsigned number)
{
	bool wide = head->e_ident[EI_CLASS] == ELFCLASS64;
	uint64_t size = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	uint32_t type; /* comes first in both */

	return read_at(fd, head->e_phoff + number * size, &type, sizeof(type)) ? type : PT_NULL;
}

/* NULL, or why the program FD is not the one for MACHINE. */
static const char *judge(int fd, const struct machine *machine)
{
	const unsigned char native = __BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB;
	Elf64_Ehdr head = { 0 };

	if (!read_at(fd, 0, &head, sizeof(head)) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return "is no program";
	if (head.e_ident[EI_DATA] != native || head.e_ident[EI_CLASS] != machine->class ||
	    head.e_machine != machine->number)
		return "is for another machine";
	if (head.e_type != ET_EXEC && head.e_type != ET_DYN)
		return "is no program";
	if (machine->class == ELFCLASS32) {
		Elf32_Ehdr narrow;

		memcpy(&narrow, &head, sizeof(narrow));
		head.e_phoff = narrow.e_phoff;
		head.e_phnum = narrow.e_phnum;
	}
	if (!head.e_phnum || head.e_phnum > MAX_SEGMENTS)
		return "is no program";
	for (unsigned i = 0; i < head.e_phnum; i++)
		if (segment_type(fd, &head, i) == PT_INTERP)
			return "is not linked statically";
	return NULL;
}

/* 1: that is it; 0: there is no such file; negative: it will not do. */
static int try_file(struct agent_file *out, const struct machine *machine, struct error *err)
{
	autoclose int fd = open(out->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char same[32]; /* leads to the very file that was opened */
	const char *why;
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	why = st.st_size > MAX_SIZE ? "is too large" : judge(fd, machine);
	if (why)
		return error_set(err, ENOEXEC, "%s %s", out->path, why);
	snprintf(same, sizeof(same), "/proc/self/fd/%d", fd);
	rc = build_id_of_file(same, out->build, err);
	if (rc < 0)
		return error_set(err, ENOEXEC, "%s has no build id", out->path);
	out->size = st.st_size;
	out->fd = move_fd(fd);
	return 1;
}

/* As try_file, for both names in DIR; of several that will not do, ERR has the first. */
static int try_dir(struct agent_file *out, const char *dir, const struct machine *machine,
		   struct error *err)
{
	const char *const ends[2][2] = { { ".", machine->name }, { "", "" } };
	int rc = 0;

	for (size_t i = 0; i < 2 && rc != 1; i++) {
		int len = snprintf(out->path, sizeof(out->path), "%s/vsockfs-agent%s%s", dir,
				   ends[i][0], ends[i][1]);
		int one = 0;

		if (len > 0 && (size_t)len < sizeof(out->path))
			one = try_file(out, machine, rc < 0 ? NULL : err);
		rc = one ? one : rc;
	}
	return rc;
}

/* The directories around the running program. */
static int try_places(struct agent_file *out, const struct machine *machine, struct error *err)
{
	static const char *const places[] = { "/../libexec/vsockfs", "", "/../protocol/agent" };
	char self[PATH_MAX], dir[PATH_MAX + 32];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	int rc = 0;

	self[len > 0 ? len : 0] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return 0;
	*slash = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && rc != 1; i++) {
		int one;

		snprintf(dir, sizeof(dir), "%s%s", self, places[i]);
		one = try_dir(out, dir, machine, rc < 0 ? NULL : err);
		rc = one ? one : rc;
	}
	return rc;
}

int agent_file_find(const char *name, struct agent_file *out, struct error *err)
{
	const struct machine *machine = find_machine(name);
	const char *chosen = getenv("VSOCKFS_AGENT_DIR");
	struct error why = { 0 };
	int rc;

	*out = (struct agent_file){ .fd = -1 };
	if (!machine)
		return error_set(err, EOPNOTSUPP,
				 "there is no vsockfs-agent for the machine '%.60s'",
				 name[0] ? name : "unknown");
	if (chosen && *chosen)
		rc = try_dir(out, chosen, machine, &why);
	else
		rc = try_places(out, machine, &why);
	if (rc == 1)
		return 0;
	return error_set(
		err, EOPNOTSUPP,
		"no static vsockfs-agent for %s is installed%s%s%s: name its directory with "
		"VSOCKFS_AGENT_DIR",
		machine->name, rc < 0 ? " (" : "", why.text, rc < 0 ? ")" : "");
}

void agent_file_close(struct agent_file *file)
{
	cleanup_close(&file->fd);
	file->fd = -1;
}
