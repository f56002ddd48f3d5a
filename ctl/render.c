/*
 * render.c - see render.h.
 */
#include "ctl/render.h"

#include <string.h>

/* A cell that stands for one byte that is no part of a character. */
#define BYTE UINT32_C(0x80000000)

enum {
	TEXT,
	ESCAPE,        /* after ESC */
	CSI,           /* ESC [ ... final byte */
	STRING,        /* ESC ] P X ^ _ ... up to BEL or ESC \ */
	STRING_ESCAPE, /* ESC inside a string */
	SKIP,          /* one more byte: ESC ( B and the like */
};

void render_init(struct render *render)
{
	memset(render, 0, sizeof(*render));
}

static void add_cell(struct buf *out, uint32_t cell)
{
	char text[4];
	size_t len = 0;

	if (cell & BYTE) {
		text[len++] = (char)(cell & 0xff);
	} else if (cell < 0x80) {
		text[len++] = (char)cell;
	} else if (cell < 0x800) {
		text[len++] = (char)(0xc0 | cell >> 6);
		text[len++] = (char)(0x80 | (cell & 0x3f));
	} else if (cell < 0x10000) {
		text[len++] = (char)(0xe0 | cell >> 12);
		text[len++] = (char)(0x80 | (cell >> 6 & 0x3f));
		text[len++] = (char)(0x80 | (cell & 0x3f));
	} else {
		text[len++] = (char)(0xf0 | cell >> 18);
		text[len++] = (char)(0x80 | (cell >> 12 & 0x3f));
		text[len++] = (char)(0x80 | (cell >> 6 & 0x3f));
		text[len++] = (char)(0x80 | (cell & 0x3f));
	}
	buf_add(out, text, len);
}

void render_line(const struct render *render, struct buf *out)
{
	for (size_t i = 0; i < render->len; i++)
		add_cell(out, render->cells[i]);
}

static void end_line(struct render *render, struct buf *lines)
{
	render_line(render, lines);
	buf_adds(lines, "\n");
	render->len = render->column = 0;
}

static void put(struct render *render, uint32_t cell, struct buf *lines)
{
	if (render->column >= LIMIT_TEXT_LINE)
		end_line(render, lines);
	/* Columns that were jumped over are blanks. */
	while (render->len < render->column)
		render->cells[render->len++] = ' ';
	render->cells[render->column++] = cell;
	if (render->column > render->len)
		render->len = render->column;
}

/* The bytes of a character that does not go on as UTF-8 count for themselves. */
static void give_up_character(struct render *render, struct buf *lines)
{
	for (unsigned i = 0; i < render->raw_len; i++)
		put(render, BYTE | render->raw[i], lines);
	render->raw_len = render->expected = 0;
}

static void begin_character(struct render *render, unsigned char c, struct buf *lines)
{
	if (c >= 0xc2 && c <= 0xdf) {
		render->expected = 1;
		render->partial = c & 0x1f;
	} else if (c >= 0xe0 && c <= 0xef) {
		render->expected = 2;
		render->partial = c & 0x0f;
	} else if (c >= 0xf0 && c <= 0xf4) {
		render->expected = 3;
		render->partial = c & 0x07;
	} else {
		put(render, BYTE | c, lines);
		return;
	}
	render->raw[0] = c;
	render->raw_len = 1;
}

/*
 * A character must be as short as it can be, and no surrogate: else it would not come out as it
 * came.
 */
static int well_formed(uint32_t cell, unsigned bytes)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	return cell >= least[bytes] && cell <= 0x10ffff && (cell < 0xd800 || cell > 0xdfff);
}

static void take_escape(struct render *render, unsigned char c)
{
	render->state = TEXT;
	if (c == '[') {
		memset(render->params, 0, sizeof(render->params));
		render->param_count = 0;
		render->state = CSI;
	} else if (c && strchr("]PX^_", c)) {
		render->state = STRING;
	} else if (c >= 0x20 && c <= 0x2f) {
		render->state = SKIP;
	}
}

/* U+0080 to U+009F: to many terminals ESC and a letter. */
static bool is_escape(uint32_t cell)
{
	return cell >= 0x80 && cell <= 0x9f;
}

static void go_on_character(struct render *render, unsigned char c, struct buf *lines)
{
	render->partial = render->partial << 6 | (c & 0x3f);
	render->raw[render->raw_len++] = c;
	if (--render->expected > 0)
		return;
	if (is_escape(render->partial) && render->raw_len == 2) {
		render->raw_len = 0;
		take_escape(render, (unsigned char)(render->partial - 0x40));
	} else if (well_formed(render->partial, render->raw_len)) {
		render->raw_len = 0;
		put(render, render->partial, lines);
	} else {
		give_up_character(render, lines);
	}
}

static void control(struct render *render, unsigned char c, struct buf *lines)
{
	switch (c) {
	case '\n':
		end_line(render, lines);
		break;
	case '\r':
		render->column = 0;
		break;
	case '\b':
		if (render->column > 0)
			render->column--;
		break;
	case '\t':
		/* The tab itself, where it adds to the line: the reader's program knows tabs. */
		if (render->column == render->len)
			put(render, '\t', lines);
		else
			render->column++;
		break;
	case 0x1b:
		render->state = ESCAPE;
		break;
	default:
		break;
	}
}

static void take_text(struct render *render, unsigned char c, struct buf *lines)
{
	if (render->expected > 0) {
		if ((c & 0xc0) == 0x80) {
			go_on_character(render, c, lines);
			return;
		}
		give_up_character(render, lines);
	}
	if (c < ' ' || c == 0x7f)
		control(render, c, lines);
	else if (c < 0x80)
		put(render, c, lines);
	else
		begin_character(render, c, lines);
}

/* K: erases within the line. */
static void erase(struct render *render, unsigned how)
{
	size_t end = render->column < render->len ? render->column : render->len;

	if (how == 0)
		render->len = end;
	else if (how == 2)
		render->len = 0;
	else if (how == 1)
		for (size_t i = 0; i <= end && i < render->len; i++)
			render->cells[i] = ' ';
}

/* P: takes N cells out at the cursor. */
static void delete_cells(struct render *render, size_t n)
{
	size_t rest;

	if (render->column >= render->len)
		return;
	rest = render->len - render->column;
	if (n > rest)
		n = rest;
	memmove(render->cells + render->column, render->cells + render->column + n,
		(rest - n) * sizeof(render->cells[0]));
	render->len -= n;
}

/* @: makes room for N cells at the cursor; what leaves the line is lost. */
static void insert_cells(struct render *render, size_t n)
{
	size_t rest;

	if (render->column >= render->len)
		return;
	if (n > LIMIT_TEXT_LINE - render->column)
		n = LIMIT_TEXT_LINE - render->column;
	rest = render->len - render->column;
	if (rest > LIMIT_TEXT_LINE - render->column - n)
		rest = LIMIT_TEXT_LINE - render->column - n;
	memmove(render->cells + render->column + n, render->cells + render->column,
		rest * sizeof(render->cells[0]));
	for (size_t i = 0; i < n; i++)
		render->cells[render->column + i] = ' ';
	render->len = render->column + n + rest;
}

static void finish_csi(struct render *render, unsigned char c)
{
	size_t n = render->params[0] ? render->params[0] : 1;

	switch (c) {
	case 'C':
		render->column += n;
		break;
	case 'D':
		render->column -= n < render->column ? n : render->column;
		break;
	case 'G':
		render->column = n - 1;
		break;
	case 'K':
		erase(render, render->params[0]);
		break;
	case 'P':
		delete_cells(render, n);
		break;
	case '@':
		insert_cells(render, n);
		break;
	default:
		break;
	}
	if (render->column > LIMIT_TEXT_LINE)
		render->column = LIMIT_TEXT_LINE;
}

static void take_csi(struct render *render, unsigned char c, struct buf *lines)
{
	size_t at = render->param_count;

	if (c >= '0' && c <= '9') {
		/* No terminal is wider; a longer number must not overflow. */
		if (at < RENDER_PARAMS && render->params[at] < LIMIT_TEXT_LINE)
			render->params[at] = render->params[at] * 10 + (unsigned)(c - '0');
	} else if (c == ';') {
		render->param_count++;
	} else if (c >= 0x40 && c <= 0x7e) {
		render->state = TEXT;
		finish_csi(render, c);
	} else if (c < ' ') {
		/* Controls inside a sequence act at once, as a terminal has it; ESC begins anew. */
		control(render, c, lines);
	}
}

void render_feed(struct render *render, const void *bytes, size_t len, struct buf *lines)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = p[i];

		switch (render->state) {
		case TEXT:
			take_text(render, c, lines);
			break;
		case ESCAPE:
			take_escape(render, c);
			break;
		case CSI:
			take_csi(render, c, lines);
			break;
		case STRING:
			if (c == 0x1b)
				render->state = STRING_ESCAPE;
			else if (c == 0x07)
				render->state = TEXT;
			break;
		case STRING_ESCAPE:
			render->state = c == '\\' ? TEXT : STRING;
			break;
		default:
			render->state = TEXT;
			break;
		}
	}
}
