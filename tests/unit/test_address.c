/*
 * test_address.c - every form of a SOURCE, and what is none.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/address.h"

static void test_good_ones(void **state)
{
	static const struct {
		const char *text;
		enum address_kind kind;
		const char *name, *path;
		uint32_t cid, port;
		const char *again; /* NULL: the same without the name */
	} cases[] = {
		{ "firecracker:/run/v.sock", ADDRESS_FIRECRACKER, "", "/run/v.sock", 0, 5005,
		  NULL },
		{ "firecracker:/run/v.sock:6006", ADDRESS_FIRECRACKER, "", "/run/v.sock", 0, 6006,
		  NULL },
		{ "firecracker:v:5005", ADDRESS_FIRECRACKER, "", "v", 0, 5005, "firecracker:v" },
		{ "firecracker:/a:b/v", ADDRESS_FIRECRACKER, "", "/a:b/v", 0, 5005, NULL },
		{ "firecracker:/a:7:5005", ADDRESS_FIRECRACKER, "", "/a:7", 0, 5005, NULL },
		{ "vm=firecracker:/v", ADDRESS_FIRECRACKER, "vm", "/v", 0, 5005, "firecracker:/v" },
		{ "vsock:3", ADDRESS_VSOCK, "", "", 3, 5005, NULL },
		{ "vsock:1:9", ADDRESS_VSOCK, "", "", 1, 9, NULL },
		{ "vsock:4294967294:4294967294", ADDRESS_VSOCK, "", "", 4294967294u, 4294967294u,
		  NULL },
		{ "vsock:1234,bridge=/run/v:1,2", ADDRESS_VSOCK, "", "/run/v:1,2", 1234, 5005,
		  NULL },
		{ "a.b-c_D9=vsock:3:77,bridge=b", ADDRESS_VSOCK, "a.b-c_D9", "b", 3, 77,
		  "vsock:3:77,bridge=b" },
		{ "unix:/run/a=b:c.sock", ADDRESS_UNIX, "", "/run/a=b:c.sock", 0, 5005, NULL },
		{ "u=unix:rel", ADDRESS_UNIX, "u", "rel", 0, 5005, "unix:rel" },
		{ "local:.", ADDRESS_LOCAL, "", ".", 0, 5005, NULL },
		{ "0=local:/a=b", ADDRESS_LOCAL, "0", "/a=b", 0, 5005, "local:/a=b" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address got, again;
		struct error err;
		char text[2 * PATH_MAX];

		if (address_parse(cases[i].text, &got, &err) != 0)
			fail_msg("%s: %s", cases[i].text, err.text);
		assert_int_equal(got.kind, cases[i].kind);
		assert_string_equal(got.name, cases[i].name);
		assert_string_equal(got.path, cases[i].path);
		assert_int_equal(got.cid, cases[i].cid);
		assert_int_equal(got.port, cases[i].port);

		address_format(&got, text, sizeof(text));
		assert_string_equal(text, cases[i].again ? cases[i].again : cases[i].text);
		assert_int_equal(address_parse(text, &again, NULL), 0);
		assert_int_equal(again.kind, got.kind);
		assert_int_equal(again.port, got.port);
		assert_int_equal(again.cid, got.cid);
		assert_string_equal(again.path, got.path);
	}
}

static void test_bad_ones(void **state)
{
	static const struct {
		const char *text, *part; /* what the sentence must name */
	} cases[] = {
		{ "", "''" },
		{ "/run/v.sock", "/run/v.sock" },
		{ "ssh:host", "ssh:host" },
		{ "unix", "'unix'" },
		{ "unix:", "missing" },
		{ "local:", "missing" },
		{ "Unix:/x", "Unix:/x" },
		{ "uni:/x", "uni:/x" },
		{ "firecracker:", "missing" },
		{ "firecracker::5005", "missing" },
		{ "firecracker:/v:", "''" },
		{ "firecracker:/v:0", "'0'" },
		{ "firecracker:/v:50o5", "'50o5'" },
		{ "firecracker:/v:+5", "'+5'" },
		{ "firecracker:/v: 5", "' 5'" },
		{ "firecracker:/v:4294967295", "4294967295" },
		{ "firecracker:/v:99999999999999999999", "99999999999999999999" },
		{ "vsock:", "''" },
		{ "vsock:0", "'0'" },
		{ "vsock:2", "'2'" },
		{ "vsock:4294967295", "4294967295" },
		{ "vsock:-1", "'-1'" },
		{ "vsock:3x", "'3x'" },
		{ "vsock:0x3", "'0x3'" },
		{ "vsock:3:", "''" },
		{ "vsock:3:5:6", "'5:6'" },
		{ "vsock:3,", "''" },
		{ "vsock:3,path=/x", "path=/x" },
		{ "vsock:3,bridge=", "missing" },
		{ "=unix:/x", "''" },
		{ "ctl=unix:/x", "'ctl'" },
		{ "version=unix:/x", "'version'" },
		{ "error=unix:/x", "'error'" },
		{ ".=unix:/x", "'.'" },
		{ "..=unix:/x", "'..'" },
		{ "/=unix:/x", "'/'" },
		{ "a\x01z=unix:/x", "'a?z'" },
		{ "a\nz=unix:/x", "'a?z'" },
		{ "\xc3\xa4=unix:/x", "digits" },
		{ ".a=unix:/x", "'.a'" },
		{ "a/b=unix:/x", "'a/b'" },
		{ "a b=unix:/x", "'a b'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address got = { .port = 7 };
		struct error err = { 0 };

		if (address_parse(cases[i].text, &got, &err) != -EINVAL)
			fail_msg("'%s' was taken", cases[i].text);
		if (!strstr(err.text, cases[i].part))
			fail_msg("'%s': '%s' does not name %s", cases[i].text, err.text,
				 cases[i].part);
		assert_int_equal(got.port, 7); /* untouched */
	}
}

static void test_lengths(void **state)
{
	char text[PATH_MAX + 64], name[80];
	struct error err = { 0 };
	struct address got;

	(void)state;
	memset(name, 'n', sizeof(name));
	name[64] = '\0';
	assert_int_equal(address_check_name(name, NULL), 0);
	snprintf(text, sizeof(text), "%s=unix:/x", name);
	assert_int_equal(address_parse(text, &got, NULL), 0);
	assert_string_equal(got.name, name);
	name[64] = 'n';
	name[65] = '\0';
	assert_int_equal(address_check_name(name, NULL), -EINVAL);
	snprintf(text, sizeof(text), "%s=unix:/x", name);
	assert_int_equal(address_parse(text, &got, NULL), -EINVAL);
	memset(text, 'n', 256); /* longer than a file's name may be */
	strcpy(text + 256, "=unix:/x");
	assert_int_equal(address_parse(text, &got, &err), -EINVAL);
	assert_non_null(strstr(err.text, "up to 64 "));

	memset(text, 'p', sizeof(text));
	memcpy(text, "unix:", 5);
	text[5 + PATH_MAX - 1] = '\0';
	assert_int_equal(address_parse(text, &got, NULL), 0);
	text[5 + PATH_MAX - 1] = 'p';
	text[5 + PATH_MAX] = '\0';
	assert_int_equal(address_parse(text, &got, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_ones),
		cmocka_unit_test(test_bad_ones),
		cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
