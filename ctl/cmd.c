/*
 * cmd.c - see cmd.h.
 */
#include "ctl/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cleanup.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* How much of a word an error shows. */
#define SHOWN 60

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape after a backslash inside double quotes.  Moves *IN on; -EINVAL. */
static int unescape(const char **in, char *out, struct error *err)
{
	char c = *(*in)++;
	int high, low;

	switch (c) {
	case 'n':
		*out = '\n';
		return 0;
	case 't':
		*out = '\t';
		return 0;
	case 'r':
		*out = '\r';
		return 0;
	case '\\':
	case '"':
		*out = c;
		return 0;
	case 'x':
		high = hex_digit((*in)[0]);
		low = high < 0 ? -1 : hex_digit((*in)[1]);
		if (low < 0 || (high == 0 && low == 0))
			return error_set(err, EINVAL, "\\x takes two hex digits, not both 0");
		*out = (char)(high << 4 | low);
		*in += 2;
		return 0;
	default:
		return error_set(err, EINVAL,
				 "unknown escape \\%c; inside \"...\" there are "
				 "\\n \\t \\r \\\\ \\\" \\xHH",
				 c);
	}
}

/* The inside of a quoted part; *IN is behind the opening QUOTE.  -EINVAL. */
static int take_quoted(const char **in, char **out, char quote, struct error *err)
{
	for (;;) {
		char c = *(*in)++;
		int rc;

		if (c == '\0') {
			(*in)--;
			return error_set(err, EINVAL, "a %c is not closed", quote);
		}
		if (c == quote)
			return 0;
		if (c == '\\' && quote == '"' && **in) {
			rc = unescape(in, &c, err);
			if (rc < 0)
				return rc;
		}
		*(*out)++ = c;
	}
}

/*
 * Takes one word at *IN, blanks before it included, unquoted to *OUT and ended by a NUL there.  A
 * word never grows by unquoting, so *OUT may run over the same bytes behind *IN. Returns 1, 0 at
 * the end of the line, or -EINVAL.
 */
static int take_word(const char **in, char **out, const char **word, struct error *err)
{
	int rc;

	while (blank(**in))
		(*in)++;
	if (!**in)
		return 0;
	*word = *out;
	while (**in && !blank(**in)) {
		char c = *(*in)++;

		if (c == '\'' || c == '"') {
			rc = take_quoted(in, out, c, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (c == '\\') {
			if (!**in)
				return error_set(err, EINVAL, "a \\ at the end of the line");
			c = *(*in)++;
		}
		*(*out)++ = c;
	}
	/* The blank that ended the word is passed before the NUL may fall on it. */
	if (**in)
		(*in)++;
	*(*out)++ = '\0';
	return 1;
}

static int usage(const struct cmd_verb *verb, struct error *err)
{
	return error_set(err, EINVAL, "%s: wrong arguments; the usage is: %s", verb->name,
			 verb->usage);
}

static int parse_words(struct cmd *cmd, const char *in, struct error *err)
{
	const struct cmd_verb *verb = cmd->verb;
	char *out = cmd->text;
	const char *word = NULL;
	int rc;

	/* The verb's own bytes lie in front: words are written over them, never ahead of IN. */
	while ((rc = take_word(&in, &out, &word, err)) > 0) {
		if (cmd->argc == verb->max)
			return usage(verb, err);
		cmd->argv[cmd->argc++] = word;
	}
	if (rc < 0)
		return error_wrap(err, rc, "%s", verb->name);
	return cmd->argc < verb->min ? usage(verb, err) : 0;
}

/* The rest of the line as one argument. */
static int parse_rest(struct cmd *cmd, char *rest, struct error *err)
{
	size_t len = strlen(rest);

	if (cmd->verb->kind == CMD_ONE)
		while (len > 0 && blank(rest[len - 1]))
			rest[--len] = '\0';
	if (len == 0)
		return cmd->verb->min > 0 ? usage(cmd->verb, err) : 0;
	cmd->argv[cmd->argc++] = rest;
	return 0;
}

static int parse_arguments(struct cmd *cmd, char *rest, struct error *err)
{
	while (blank(*rest))
		rest++;
	switch (cmd->verb->kind) {
	case CMD_REST:
		return parse_rest(cmd, rest, err);
	case CMD_ONE:
		if (!strpbrk(rest, "'\"\\"))
			return parse_rest(cmd, rest, err);
		return parse_words(cmd, rest, err);
	case CMD_PLAIN:
		break;
	}
	return parse_words(cmd, rest, err);
}

/* -EINVAL, with the verbs that there are. */
static int unknown_verb(const struct cmd_verb *verbs, size_t count, const char *word, size_t len,
			struct error *err)
{
	autobuf struct buf known = BUF_INIT(512);

	for (size_t i = 0; i < count; i++)
		buf_addf(&known, "%s%s", i ? ", " : "", verbs[i].name);
	return error_set(err, EINVAL, "unknown verb '%.*s'; there are: %s",
			 len > SHOWN ? SHOWN : (int)len, word, buf_str(&known));
}

int cmd_parse(const struct cmd_verb *verbs, size_t count, const char *line, size_t len,
	      struct cmd *out, struct error *err)
{
	size_t word;
	char *text;

	*out = (struct cmd){ 0 };
	if (memchr(line, '\0', len))
		return error_set(err, EINVAL, "the line has a NUL byte in it");
	while (len > 0 && blank(*line)) {
		line++;
		len--;
	}
	if (len == 0)
		return 0;
	text = strndup(line, len);
	if (!text)
		return error_set(err, ENOMEM, "out of memory");
	out->text = text;
	word = strcspn(text, " \t\r");
	for (size_t i = 0; i < count; i++) {
		if (strlen(verbs[i].name) != word || memcmp(verbs[i].name, text, word) != 0)
			continue;
		out->verb = &verbs[i];
		return parse_arguments(out, text + word, err);
	}
	return unknown_verb(verbs, count, text, word, err);
}

void cmd_free(struct cmd *cmd)
{
	free(cmd->text);
	*cmd = (struct cmd){ 0 };
}

void cmd_quote(struct buf *out, const char *text)
{
	size_t len = strlen(text);
	bool plain = len > 0 && !blank(text[0]) && !blank(text[len - 1]);

	for (const char *p = text; *p && plain; p++)
		plain = (unsigned char)*p >= ' ' && *p != 0x7f && !strchr("'\"\\", *p);
	if (plain) {
		buf_add(out, text, len);
		return;
	}
	buf_adds(out, "\"");
	for (const char *p = text; *p; p++) {
		if (*p == '\n')
			buf_adds(out, "\\n");
		else if (*p == '"' || *p == '\\')
			buf_addf(out, "\\%c", *p);
		else if ((unsigned char)*p < ' ' || *p == 0x7f)
			buf_addf(out, "\\x%02x", (unsigned char)*p);
		else
			buf_add(out, p, 1);
	}
	buf_adds(out, "\"");
}

int cmd_number(const char *text, double min, double max, bool whole, const char *what, double *out,
	       struct error *err)
{
	size_t len = strspn(text, "0123456789.");
	char *end = NULL;
	double value = 0;

	/* Digits only: no sign, no exponent, no "inf" of strtod's. */
	if (len > 0 && len < 32 && !text[len])
		value = strtod(text, &end);
	if (!end || *end || value < min || value > max || (whole && value != floor(value)))
		return error_set(err, EINVAL,
				 "%s must be a %snumber from %.15g to %.15g, not '%.*s'", what,
				 whole ? "whole " : "", min, max, SHOWN, text);
	*out = value;
	return 0;
}
