/*
 * static_formats.c - keeps what nobody uses out of the static agent.
 *
 * libarchive's pax writer refers to the table of all formats by name, and the table to every
 * writer; xar's needs libxml2 and with it ICU, thirty megabytes that no static guest wants, others
 * a crypto library.  These definitions come before the archive's members in the link, which are
 * then left out.  They are linked into the static agent only.
 */
#include <archive.h>
#include <errno.h>

#define WITHOUT(format)                                                                            \
	int archive_write_set_format_##format(struct archive *archive)                             \
	{                                                                                          \
		archive_set_error(archive, ENOSYS, #format " is not built into this agent");       \
		return ARCHIVE_FATAL;                                                              \
	}

WITHOUT(7zip)
WITHOUT(iso9660)
WITHOUT(mtree)
WITHOUT(mtree_classic)
WITHOUT(shar)
WITHOUT(shar_dump)
WITHOUT(warc)
WITHOUT(xar)
WITHOUT(zip)
