/*
 * test_options.c - the command line.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "fs/options.h"

#define MAX_ARGS 16

/* Parses WORDS, separated by spaces, behind the program's name. */
static int parse(const char *words, struct options *out, struct error *err)
{
	static char copy[512];
	char *argv[MAX_ARGS] = { (char *)"vsockfs" }, *rest = copy;
	int argc = 1;

	assert_true(strlen(words) < sizeof(copy));
	snprintf(copy, sizeof(copy), "%s", words);
	while (*words && argc < MAX_ARGS && (argv[argc] = strsep(&rest, " ")))
		argc++;
	return options_parse(argc, argv, out, err);
}

static void defaults(void **state)
{
	struct options options;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(parse("unix:/run/a.sock /mnt", &options, &err), 0);
	assert_int_equal(options.action, OPTIONS_MOUNT);
	assert_int_equal(options.source_count, 1);
	assert_string_equal(options.sources[0].name, "guest");
	assert_string_equal(options.sources[0].path, "/run/a.sock");
	assert_string_equal(options.mountpoint, "/mnt");
	assert_string_equal(options.fsname, "unix:/run/a.sock");
	assert_true(options.timeout == 10 && options.attr_timeout == 1);
	assert_int_equal(options.max_connections, 1);
	assert_false(options.foreground || options.debug || options.read_only ||
		     options.raw_symlinks || options.guest_ids || options.nonempty);
	options_free(&options);
}

static void all_options(void **state)
{
	struct options options;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(
		parse("-o timeout=2.5,attr_timeout=0 -f unix:/a /mnt -osync_write,ro "
		      "-o max_connections=8,symlinks=raw,idmap=none,local_net,allow_other "
		      "-o allow_root,default_permissions,fsname=vm,nonempty,noexec,noatime",
		      &options, &err),
		0);
	assert_true(options.timeout == 2.5 && options.attr_timeout == 0);
	assert_int_equal(options.max_connections, 8);
	assert_true(options.raw_symlinks && options.guest_ids && options.local_net);
	assert_true(options.allow_other && options.allow_root && options.default_permissions);
	assert_true(options.sync_write && options.read_only && options.nonempty);
	assert_true(options.no_exec && options.no_atime && options.foreground);
	assert_string_equal(options.fsname, "vm");
	options_free(&options);

	assert_int_equal(parse("-o allow_other unix:/a /mnt", &options, &err), 0);
	assert_true(options.allow_other && options.default_permissions);
	options_free(&options);
	assert_int_equal(parse("-o allow_root unix:/a /mnt", &options, &err), 0);
	assert_true(options.allow_root && !options.default_permissions);
	assert_true(options.uid == getuid() && options.gid == getgid());
	options_free(&options);
	assert_int_equal(parse("-o uid=1000,gid=4294967294 unix:/a /mnt", &options, &err), 0);
	assert_true(options.uid == 1000 && options.gid == 4294967294);
	options_free(&options);
}

/* As mount.fuse3 calls it for a line of fstab. */
static void like_mount(void **state)
{
	struct options options;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(parse("web=unix:/a /mnt -o rw,dev,suid,nofail,noauto,user,users,_netdev,"
			       "x-systemd.automount,defaults,exec,,relatime",
			       &options, &err),
			 0);
	assert_string_equal(options.sources[0].name, "web");
	assert_false(options.read_only || options.no_exec);
	options_free(&options);
}

static void names(void **state)
{
	struct options options;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(parse("unix:/a unix:/b x=unix:/c unix:/d /mnt", &options, &err), 0);
	assert_string_equal(options.sources[0].name, "guest");
	assert_string_equal(options.sources[1].name, "guest2");
	assert_string_equal(options.sources[2].name, "x");
	assert_string_equal(options.sources[3].name, "guest3");
	assert_string_equal(options.fsname, "vsockfs");
	options_free(&options);

	assert_int_equal(parse("guest=unix:/a unix:/b guest3=unix:/c unix:/d /mnt", &options, &err),
			 0);
	assert_string_equal(options.sources[1].name, "guest2");
	assert_string_equal(options.sources[3].name, "guest4");
	options_free(&options);

	assert_int_equal(parse("a=unix:/a a=unix:/b /mnt", &options, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'a'"));
	options_free(&options);
}

static void paths_become_absolute(void **state)
{
	char here[PATH_MAX], expected[PATH_MAX + 16];
	struct options options;
	struct error err = { 0 };

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(parse("unix:some.sock mnt", &options, &err), 0);
	snprintf(expected, sizeof(expected), "%s/some.sock", strcmp(here, "/") ? here : "");
	assert_string_equal(options.sources[0].path, expected);
	assert_string_equal(options.mountpoint, "mnt");
	options_free(&options);
}

static void help_and_version(void **state)
{
	static const char *const lines[] = { "-h", "--help", "-fh" };
	struct options options;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		assert_int_equal(parse(lines[i], &options, NULL), 0);
		assert_int_equal(options.action, OPTIONS_HELP);
		options_free(&options);
	}
	assert_int_equal(parse("-V", &options, NULL), 0);
	assert_int_equal(options.action, OPTIONS_VERSION);
	options_free(&options);
	assert_int_equal(parse("-d unix:/a /m", &options, NULL), 0);
	assert_true(options.foreground && options.debug);
	options_free(&options);
}

struct refusal {
	const char *words, *named;
};

static const struct refusal refusals[] = {
	{ "", "SOURCE" },
	{ "unix:/a", "MOUNTPOINT" },
	{ "-o", "-o" },
	{ "-x unix:/a /m", "-x" },
	{ "--nope unix:/a /m", "--nope" },
	{ "-o nope unix:/a /m", "'nope'" },
	{ "-o nope=1 unix:/a /m", "'nope'" },
	{ "-o subtype=sshfs unix:/a /m", "'subtype'" },
	{ "-o timeout= unix:/a /m", "timeout=" },
	{ "-o timeout=0 unix:/a /m", "timeout=0" },
	{ "-o timeout=-1 unix:/a /m", "timeout=-1" },
	{ "-o timeout=1e3 unix:/a /m", "timeout=1e3" },
	{ "-o timeout=1.2.3 unix:/a /m", "timeout=1.2.3" },
	{ "-o timeout=nan unix:/a /m", "timeout=nan" },
	{ "-o timeout=10s unix:/a /m", "timeout=10s" },
	{ "-o attr_timeout=99999999 unix:/a /m", "attr_timeout=99999999" },
	{ "-o max_connections=0 unix:/a /m", "max_connections=0" },
	{ "-o max_connections=65 unix:/a /m", "max_connections=65" },
	{ "-o max_connections=2x unix:/a /m", "max_connections=2x" },
	{ "-o symlinks=all unix:/a /m", "symlinks=all" },
	{ "-o idmap=root unix:/a /m", "idmap=root" },
	{ "-o timeout unix:/a /m", "timeout needs a value: timeout=SECONDS" },
	{ "-o attr_timeout unix:/a /m", "attr_timeout needs a value: attr_timeout=SECONDS" },
	{ "-o agent unix:/a /m", "agent needs a value: agent=auto|never" },
	{ "-o time unix:/a /m", "unknown option 'time'" },
	{ "-o ro=1 unix:/a /m", "ro=1: ro takes no value" },
	{ "-o ro= unix:/a /m", "ro takes no value" },
	{ "-o nofail=yes unix:/a /m", "nofail takes no value" },
	{ "-o fsname unix:/a /m", "fsname needs a value" },
	{ "-o fsname= unix:/a /m", "fsname= is empty" },
	{ "-o uid unix:/a /m", "uid needs a value: uid=UID" },
	{ "-o uid=me unix:/a /m", "uid=me: give a number" },
	{ "-o gid=-1 unix:/a /m", "gid=-1: give a number" },
	{ "-o gid=4294967295 unix:/a /m", "gid=4294967295: give a number" },
	{ "-o uid=1x unix:/a /m", "uid=1x: give a number" },
	{ "bogus /m", "bogus" },
	{ "ctl=unix:/a /m", "ctl" },
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		struct options options;
		struct error err = { 0 };

		if (parse(refusals[i].words, &options, &err) != -EINVAL ||
		    !strstr(err.text, refusals[i].named))
			fail_msg("'%s' said: %s", refusals[i].words, err.text);
		options_free(&options);
	}
}

static void help_names_every_option(void **state)
{
	static const char *const options[] = {
		"timeout=",
		"attr_timeout=",
		"max_connections=",
		"symlinks=",
		"idmap=",
		"uid=",
		"gid=",
		"sync_write",
		"local_net",
		"ro ",
		"allow_other",
		"allow_root",
		"default_permissions",
		"fsname=",
		"nonempty",
		"noexec",
		"noatime",
		"-f",
		"-d",
		"-V",
		"-h",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		assert_non_null(strstr(options_help, options[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(all_options),
		cmocka_unit_test(like_mount),
		cmocka_unit_test(names),
		cmocka_unit_test(paths_become_absolute),
		cmocka_unit_test(help_and_version),
		cmocka_unit_test(refused),
		cmocka_unit_test(help_names_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
