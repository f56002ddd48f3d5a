/*
 * options.c - the command line, taken apart.
 */
#include "fs/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/cleanup.h"

#define MAX_SECONDS 86400.0
#define MAX_CONNECTIONS 64

const char options_help[] =
	"usage: vsockfs [-o OPT[,OPT...]] [-f] [-d] SOURCE... MOUNTPOINT\n"
	"\n"
	"Mounts guests (microVMs, containers): each one's /workspace as files, and its\n"
	"services, shells and commands as control files.  End it with: fusermount3 -u MOUNTPOINT\n"
	"\n"
	"SOURCE is [NAME=]ADDRESS; names are guest, guest2, ... where none is given\n"
	"    firecracker:PATH[:PORT]          socket of Firecracker or Cloud Hypervisor; port "
	"5005\n"
	"    vsock:CID[:PORT][,bridge=PATH]   AF_VSOCK, or the socket PATH where there is none\n"
	"    unix:PATH                        an agent that listens on a Unix socket\n"
	"    local:DIR                        a sandbox on this machine with DIR as /workspace\n"
	"\n"
	"    -f                     stay in the foreground, log to standard error\n"
	"    -d                     print every request of the kernel (implies -f)\n"
	"    -h, --help             this text\n"
	"    -V, --version          the version\n"
	"\n"
	"    -o timeout=SECONDS     wait for a guest at most so long (10)\n"
	"    -o attr_timeout=SECONDS\n"
	"                           believe attributes and names so long (1)\n"
	"    -o max_connections=N   requests at one guest at a time (1)\n"
	"    -o symlinks=safe|raw   links that lead out of the workspace: refused, or as they are "
	"(safe)\n"
	"    -o idmap=user|none     files belong to you, or to the guest's users (user)\n"
	"    -o agent=auto|never    bring vsockfs's own agent to a guest that has a simple one "
	"(auto)\n"
	"    -o sync_write          write(2) returns when the guest has the bytes\n"
	"    -o local_net           a local: sandbox keeps the network\n"
	"    -o ro                  change nothing\n"
	"    -o nonempty            mount over a directory that is not empty\n"
	"    -o uid=UID, gid=GID    whom files belong to instead of you\n"
	"    -o allow_other         let other users in, as far as the modes of the files allow\n"
	"    -o allow_root, default_permissions, fsname=NAME, noexec, noatime\n"
	"                           as in mount.fuse3(8); nosuid and nodev are always on\n";

struct flag {
	const char *name;
	size_t offset;
	bool value;
};

#define FLAG(name, field, value)                                                                   \
	{                                                                                          \
		name, offsetof(struct options, field), value                                       \
	}

static const struct flag flags[] = {
	FLAG("ro", read_only, true),
	FLAG("rw", read_only, false),
	FLAG("noexec", no_exec, true),
	FLAG("exec", no_exec, false),
	FLAG("noatime", no_atime, true),
	FLAG("atime", no_atime, false),
	FLAG("sync_write", sync_write, true),
	FLAG("local_net", local_net, true),
	FLAG("allow_other", allow_other, true),
	FLAG("allow_root", allow_root, true),
	FLAG("default_permissions", default_permissions, true),
	FLAG("nonempty", nonempty, true),
	FLAG("debug", debug, true),
};

/*
 * What mount(8), fstab(5) and systemd say to each other.  dev and suid, which mount.fuse3
 * adds by itself, are not granted.
 */
static const char *const ignored[] = {
	"defaults",   "auto",       "noauto",      "nofail",  "user",     "nouser",
	"users",      "owner",      "group",       "_netdev", "dev",      "nodev",
	"suid",       "nosuid",     "async",       "sync",    "relatime", "diratime",
	"nodiratime", "norelatime", "strictatime", "remount", "silent",   "nostrictatime",
};

/* Those that take a value, as they are written. */
static const char *const valued[] = {
	"timeout=SECONDS",   "attr_timeout=SECONDS", "max_connections=N",
	"symlinks=safe|raw", "idmap=user|none",      "agent=auto|never",
	"fsname=NAME",       "subtype=vsockfs",      "uid=UID",
	"gid=GID",
};

static const struct flag *find_flag(const char *name)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (!strcmp(name, flags[i].name))
			return &flags[i];
	}
	return NULL;
}

static bool is_ignored(const char *name)
{
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++) {
		if (!strcmp(name, ignored[i]))
			return true;
	}
	return false;
}

static int unknown_option(const char *name, struct error *err)
{
	return error_set(err, EINVAL, "unknown option '%s'; vsockfs -h lists them", name);
}

static int parse_seconds(const char *name, const char *text, double min, double *out,
			 struct error *err)
{
	char *end = NULL;
	double value = isdigit((unsigned char)*text) ? strtod(text, &end) : NAN;

	if (!end || *end || strspn(text, "0123456789.") != strlen(text) || !(value >= min) ||
	    value > MAX_SECONDS)
		return error_set(err, EINVAL, "%s=%s: give seconds, from %.15g to %.15g", name,
				 text, min, MAX_SECONDS);
	*out = value;
	return 0;
}

static int parse_choice(const char *name, const char *text, const char *no, const char *yes,
			bool *out, struct error *err)
{
	if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
		return error_set(err, EINVAL, "%s=%s: give %s or %s", name, text, no, yes);
	*out = !strcmp(text, yes);
	return 0;
}

/* Of a user or a group; the last number means none. */
static int parse_id(const char *name, const char *text, unsigned *out, struct error *err)
{
	char *end = NULL;
	unsigned long long value = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;

	if (!end || *end || value >= UINT32_MAX)
		return error_set(err, EINVAL, "%s=%s: give a number, as `id` shows it", name, text);
	*out = (unsigned)value;
	return 0;
}

static int parse_connections(const char *text, int *out, struct error *err)
{
	char *end = NULL;
	long value = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : 0;

	if (value < 1 || value > MAX_CONNECTIONS || *end)
		return error_set(err, EINVAL, "max_connections=%s: give a number from 1 to %d",
				 text, MAX_CONNECTIONS);
	*out = (int)value;
	return 0;
}

static int replace(char **slot, const char *text, struct error *err)
{
	char *copy = strdup(text);

	if (!copy)
		return error_set(err, ENOMEM, "out of memory");
	free(*slot);
	*slot = copy;
	return 0;
}

static int parse_value(struct options *out, const char *name, const char *value, struct error *err)
{
	if (!strcmp(name, "timeout"))
		return parse_seconds(name, value, 0.1, &out->timeout, err);
	if (!strcmp(name, "attr_timeout"))
		return parse_seconds(name, value, 0, &out->attr_timeout, err);
	if (!strcmp(name, "max_connections"))
		return parse_connections(value, &out->max_connections, err);
	if (!strcmp(name, "uid"))
		return parse_id(name, value, &out->uid, err);
	if (!strcmp(name, "gid"))
		return parse_id(name, value, &out->gid, err);
	if (!strcmp(name, "symlinks"))
		return parse_choice(name, value, "safe", "raw", &out->raw_symlinks, err);
	if (!strcmp(name, "idmap"))
		return parse_choice(name, value, "user", "none", &out->guest_ids, err);
	if (!strcmp(name, "agent"))
		return parse_choice(name, value, "auto", "never", &out->no_agent, err);
	if (!strcmp(name, "fsname") && !*value)
		return error_set(err, EINVAL,
				 "fsname= is empty: give a name to be shown, or "
				 "leave it out");
	if (!strcmp(name, "fsname"))
		return replace(&out->fsname, value, err);
	if (!strcmp(name, "subtype") && !strcmp(value, "vsockfs"))
		return 0;
	if (!strcmp(name, "comment"))
		return 0;
	if (find_flag(name) || is_ignored(name))
		return error_set(err, EINVAL, "%s=%s: %s takes no value", name, value, name);
	return unknown_option(name, err);
}

static int parse_word(struct options *out, const char *name, struct error *err)
{
	const struct flag *flag = find_flag(name);

	if (flag)
		*(bool *)((char *)out + flag->offset) = flag->value;
	if (flag || is_ignored(name))
		return 0;
	for (size_t i = 0; i < sizeof(valued) / sizeof(*valued); i++) {
		if (!strncmp(valued[i], name, strlen(name)) && valued[i][strlen(name)] == '=')
			return error_set(err, EINVAL, "%s needs a value: %s", name, valued[i]);
	}
	return unknown_option(name, err);
}

static int parse_option(struct options *out, char *option, struct error *err)
{
	char *value = strchr(option, '=');

	if (!*option || !strncmp(option, "x-", 2))
		return 0;
	if (value) {
		*value++ = '\0';
		return parse_value(out, option, value, err);
	}
	return parse_word(out, option, err);
}

/* The list behind -o. */
static int parse_list(struct options *out, const char *list, struct error *err)
{
	autofree char *copy = strdup(list);
	char *rest = copy, *option;
	int rc = 0;

	if (!copy)
		return error_set(err, ENOMEM, "out of memory");
	while (!rc && (option = strsep(&rest, ",")))
		rc = parse_option(out, option, err);
	return rc;
}

/* The daemon leaves the directory it was started in: paths must not depend on it. */
static int make_absolute(char path[PATH_MAX], struct error *err)
{
	char relative[PATH_MAX];
	char here[PATH_MAX];
	int len;

	if (!path[0] || path[0] == '/')
		return 0;
	snprintf(relative, sizeof(relative), "%s", path);
	if (!getcwd(here, sizeof(here)))
		return error_set(err, errno, "cannot tell the current directory: %s",
				 strerror(errno));
	len = snprintf(path, PATH_MAX, "%s/%s", strcmp(here, "/") ? here : "", relative);
	if (len >= PATH_MAX)
		return error_set(err, ENAMETOOLONG, "'%s' is too long a path from here", relative);
	return 0;
}

static bool name_taken(const struct options *options, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(options->sources[i].name, name))
			return true;
	}
	return false;
}

/* guest, guest2, ... for those that have no name; no name twice. */
static int name_sources(struct options *options, struct error *err)
{
	unsigned number = 0;

	for (size_t i = 0; i < options->source_count; i++) {
		const char *name = options->sources[i].name;

		if (*name && name_taken(options, i, name))
			return error_set(err, EINVAL,
					 "two sources are called '%s'; give each "
					 "a NAME= of its own",
					 name);
	}
	for (size_t i = 0; i < options->source_count; i++) {
		struct address *source = &options->sources[i];

		while (!*source->name) {
			char name[sizeof(source->name)];

			if (++number == 1)
				snprintf(name, sizeof(name), "guest");
			else
				snprintf(name, sizeof(name), "guest%u", number);
			if (!name_taken(options, options->source_count, name))
				snprintf(source->name, sizeof(source->name), "%s", name);
		}
	}
	return 0;
}

static int parse_sources(struct options *out, char *const *texts, size_t count, struct error *err)
{
	int rc;

	out->sources = calloc(count, sizeof(*out->sources));
	if (!out->sources)
		return error_set(err, ENOMEM, "out of memory");
	out->source_count = count;
	for (size_t i = 0; i < count; i++) {
		rc = address_parse(texts[i], &out->sources[i], err);
		if (!rc)
			rc = make_absolute(out->sources[i].path, err);
		if (rc)
			return rc;
	}
	rc = name_sources(out, err);
	if (!rc && !out->fsname)
		rc = replace(&out->fsname, count == 1 ? texts[0] : "vsockfs", err);
	return rc;
}

/* -f, -d, -V and -h, one or several behind a dash. */
static int parse_letters(struct options *out, const char *letters, struct error *err)
{
	for (const char *p = letters; *p; p++) {
		switch (*p) {
		case 'f':
			out->foreground = true;
			break;
		case 'd':
			out->debug = true;
			break;
		case 'V':
			out->action = OPTIONS_VERSION;
			break;
		case 'h':
			out->action = OPTIONS_HELP;
			break;
		default:
			return error_set(err, EINVAL, "unknown option -%c; vsockfs -h lists them",
					 *p);
		}
	}
	return 0;
}

/* Takes one argument that begins with a dash; *NEXT is where the following ones begin. */
static int parse_dashed(struct options *out, int argc, char *const argv[], int *next,
			struct error *err)
{
	const char *arg = argv[*next - 1];

	if (!strcmp(arg, "--help"))
		return parse_letters(out, "h", err);
	if (!strcmp(arg, "--version"))
		return parse_letters(out, "V", err);
	if (arg[1] == '-')
		return error_set(err, EINVAL, "unknown option %s; vsockfs -h lists them", arg);
	if (arg[1] != 'o')
		return parse_letters(out, arg + 1, err);
	if (arg[2])
		return parse_list(out, arg + 2, err);
	if (*next == argc)
		return error_set(err, EINVAL,
				 "-o needs an option behind it; vsockfs -h lists them");
	return parse_list(out, argv[(*next)++], err);
}

int options_parse(int argc, char *const argv[], struct options *out, struct error *err)
{
	autofree char **words = calloc((size_t)argc + 1, sizeof(*words));
	bool dashes = true;
	size_t count = 0;
	int rc = 0;

	*out = (struct options){ .timeout = 10,
				 .attr_timeout = 1,
				 .max_connections = 1,
				 .uid = getuid(),
				 .gid = getgid() };
	if (!words)
		return error_set(err, ENOMEM, "out of memory");
	for (int i = 1; i < argc && !rc;) {
		char *arg = argv[i++];

		if (dashes && !strcmp(arg, "--"))
			dashes = false;
		else if (dashes && arg[0] == '-' && arg[1])
			rc = parse_dashed(out, argc, argv, &i, err);
		else
			words[count++] = arg;
	}
	if (rc || out->action != OPTIONS_MOUNT)
		return rc;
	out->foreground |= out->debug;
	/* Others may do what the modes that they see allow, not drive the guest as its owner. */
	out->default_permissions |= out->allow_other;
	if (count < 2)
		return error_set(err, EINVAL,
				 "%s is missing; usage: vsockfs [OPTIONS] SOURCE... MOUNTPOINT",
				 count ? "SOURCE or MOUNTPOINT" : "SOURCE");
	if (!*words[count - 1])
		return error_set(err, EINVAL, "MOUNTPOINT, the last argument, is empty");
	rc = replace(&out->mountpoint, words[count - 1], err);
	return rc ? rc : parse_sources(out, words, count - 1, err);
}

void options_free(struct options *options)
{
	free(options->sources);
	free(options->mountpoint);
	free(options->fsname);
	*options = (struct options){ 0 };
}
