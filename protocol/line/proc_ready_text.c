/*
 * proc_ready_text.c - what the probes are in sh.  See proc_ready_text.h.
 *
 * Guests differ in what they have: every probe takes the first tool that is there.
 */
#include "protocol/line/proc_ready_text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/line/shell_text.h"

#define PROBE_HOST_MAX 255

/* ADDRESS taken apart; *PORT 1..65535. */
static int split(const char *address, char host[static PROBE_HOST_MAX + 1], unsigned *port,
		 struct error *err)
{
	const char *colon = strrchr(address, ':');
	size_t len = colon ? (size_t)(colon - address) : 0;
	const char *from = address;
	char *end = NULL;
	unsigned long number = 0;

	if (len > 2 && address[0] == '[' && address[len - 1] == ']') {
		from++;
		len -= 2;
	}
	if (colon && isdigit((unsigned char)colon[1]))
		number = strtoul(colon + 1, &end, 10);
	if (!len || len > PROBE_HOST_MAX || !end || *end || number < 1 || number > 65535 ||
	    strcspn(from, " \t\n/'\"\\") < len)
		return error_set(err, EINVAL, "'%s' is not HOST:PORT", address);
	memcpy(host, from, len);
	host[len] = '\0';
	*port = (unsigned)number;
	return 0;
}

/* One alternative of a case pattern: LEN bytes of ADDRESS as /proc/net/tcp* prints them. */
static void add_listener(struct buf *out, const unsigned char *address, size_t len, unsigned port)
{
	/* The kernel prints words of its own byte order, which is the guest's: take both. */
	for (int swap = 0; swap < 2; swap++) {
		buf_adds(out, out->len ? "|" : "");
		for (size_t i = 0; i < len; i++)
			buf_addf(out, "%02X", address[swap ? (i ^ 3) : i]);
		buf_addf(out, ":%04X", port);
	}
}

/* The listeners that a connection to HOST, if it is this machine's, would find. */
static void add_listeners(struct buf *out, const char *host, unsigned port)
{
	unsigned char v4[4], v6[16] = { 0 };
	bool name = strcmp(host, "localhost") == 0;

	if (inet_pton(AF_INET, name ? "127.0.0.1" : host, v4) == 1) {
		static const unsigned char any4[4];

		if (memcmp(v4, any4, 4) == 0)
			inet_pton(AF_INET, "127.0.0.1", v4);
		if (v4[0] != 127)
			return;
		add_listener(out, any4, 4, port);
		add_listener(out, v4, 4, port);
		add_listener(out, v6, 16, port); /* :: takes IPv4 as well */
		v6[10] = v6[11] = 0xff;
		memcpy(v6 + 12, v4, 4);
		add_listener(out, v6, 16, port);
	}
	if (inet_pton(AF_INET6, name ? "::1" : host, v6) == 1) {
		static const unsigned char any6[16];

		if (!name && strcmp(host, "::1") != 0 && memcmp(v6, any6, 16) != 0)
			return;
		inet_pton(AF_INET6, "::1", v6);
		add_listener(out, any6, 16, port);
		add_listener(out, v6, 16, port);
	}
}

int proc_text_tcp(const char *address, struct buf *test, struct buf *command, struct buf *needs,
		  const char **tools, struct error *err)
{
	autobuf struct buf listeners = BUF_INIT(4096);
	char host[PROBE_HOST_MAX + 1];
	unsigned port = 0;
	int rc = split(address, host, &port, err);

	if (rc)
		return rc;
	add_listeners(&listeners, host, port);
	if (listeners.len) {
		buf_addf(test,
			 "for f in /proc/net/tcp /proc/net/tcp6; do\n"
			 "	[ -r $f ] && while read -r n local remote state rest; do\n"
			 "		[ \"$state\" = 0A ] || continue\n"
			 "		case $local in %s) exit 0;; esac\n"
			 "	done <$f\n"
			 "done\n"
			 "exit 1\n",
			 buf_str(&listeners));
		buf_adds(needs, "[ -r /proc/net/tcp ] || [ -r /proc/net/tcp6 ]");
		*tools = "/proc/net/tcp";
		return 0;
	}
	shtext_assign(command, "h", host, strlen(host));
	buf_addf(command,
		 "p=%u\n"
		 "if has bash; then exec bash -c 'exec 3<>\"/dev/tcp/$0/$1\"' \"$h\" \"$p\"; fi\n"
		 "if has python3; then exec python3 -c 'import socket, sys\n"
		 "socket.create_connection(sys.argv[1:], 5)' \"$h\" \"$p\"; fi\n"
		 /* busybox's has no -z, others have no -e. */
		 "nc -z -w 5 \"$h\" \"$p\" || nc -w 5 \"$h\" \"$p\" -e true\n",
		 port);
	buf_adds(needs, "has bash || has python3 || has nc");
	*tools = "bash, python3 or nc";
	return 0;
}

/* For a plain http URL: a client that is a few lines of bash, or a pipe through nc. */
static int add_plain_client(const char *url, struct buf *command)
{
	const char *at = url + strlen("http://");
	size_t len = strcspn(at, "/?#");
	char host[PROBE_HOST_MAX + 1];
	char address[PROBE_HOST_MAX + 16];
	unsigned port = 0;

	if (memchr(at, '@', len) || len > PROBE_HOST_MAX)
		return -EINVAL;
	snprintf(address, sizeof(address), "%.*s%s", (int)len, at,
		 memchr(at, ':', len) ? "" : ":80");
	if (split(address, host, &port, NULL))
		return -EINVAL;
	shtext_assign(command, "h", host, strlen(host));
	shtext_assign(command, "n", at, len);
	shtext_assign(command, "w", at + len, strcspn(at + len, "#"));
	buf_addf(command,
		 "p=%u; case $w in /*) ;; *) w=/$w;; esac\n"
		 "answer() { read -r v c rest; case $c in [23][0-9][0-9]*) exit 0;; esac; exit 1; "
		 "}\n"
		 "ask() { printf 'GET %%s HTTP/1.0\\r\\nHost: %%s\\r\\n\\r\\n' \"$w\" \"$n\"; }\n"
		 "if has bash; then\n"
		 "	ask | { bash -c 'exec 3<>\"/dev/tcp/$0/$1\" || exit 1; trap \"\" PIPE\n"
		 "	cat >&3; cat <&3' \"$h\" \"$p\" | answer; }\n"
		 "	exit\n"
		 "fi\n"
		 "if has nc; then ask | nc -w 9 \"$h\" \"$p\" | answer; exit; fi\n",
		 port);
	return 0;
}

/*
 * No redirect is followed where that can be said: 3xx is an answer.  A proxy of the environment is
 * not meant for this.
 */
static const char http_clients[] =
	"unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY\n"
	"if has curl; then\n"
	"	c=$(curl -s -o /dev/null -m 9 -w '%{http_code}' \"$u\")\n"
	"	case $c in [23][0-9][0-9]) exit 0;; esac\n"
	"	exit 1\n"
	"fi\n"
	"if has python3; then exec python3 -c 'import sys, urllib.request as r, urllib.error as e\n"
	"class N(r.HTTPRedirectHandler):\n"
	"    def redirect_request(*a): return None\n"
	"try: c = r.build_opener(N).open(sys.argv[1], timeout=9).status\n"
	"except e.HTTPError as x: c = x.code\n"
	"sys.exit(not 200 <= c < 400)' \"$u\"; fi\n"
	"if has wget; then\n"
	"	c=$(wget -S -T 9 -O /dev/null \"$u\" 2>&1); s=$?\n"
	"	[ $s = 0 ] && exit 0\n"
	"	c=${c#*HTTP/}; c=${c#* }\n"
	"	case $c in [23][0-9][0-9]\\ *) exit 0;; esac\n"
	"	[ $s -lt 126 ] && exit 1\n" /* a static one may crash when it resolves a name */
	"fi\n";

int proc_text_http(const char *url, struct buf *command, struct buf *needs, const char **tools,
		   struct error *err)
{
	bool plain = strncasecmp(url, "http://", 7) == 0;

	if (!plain && strncasecmp(url, "https://", 8) != 0)
		return error_set(err, EINVAL, "'%s' is no http:// or https:// URL", url);
	for (const char *at = url; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 127)
			return error_set(err, EINVAL, "the URL '%s' has a space in it", url);
	shtext_assign(command, "u", url, strlen(url));
	buf_adds(command, http_clients);
	buf_adds(needs, "has curl || has python3 || has wget");
	*tools = "curl, python3 or wget";
	if (plain && add_plain_client(url, command) == 0) {
		buf_adds(needs, " || has bash || has nc");
		*tools = "curl, python3, wget, bash or nc";
	}
	buf_adds(command, "exit 1\n");
	return 0;
}
