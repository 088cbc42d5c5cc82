/* SPDX-License-Identifier: MIT */
/* source.c: the inputs. */
#include "cli/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/console.h"
#include "cli/memory.h"

#define SOURCE_STDIN "-"

static int source_complain(const struct source *source, int error)
{
	console_say("cannot read %s: %s", source->name, strerror(error));
	return -1;
}

static int source_init(struct source *source, const char *file, const struct format *format)
{
	bool is_stdin = strcmp(file, SOURCE_STDIN) == 0;
	struct stat status;

	source->path = is_stdin ? NULL : file;
	source->name = is_stdin ? "standard input" : file;
	source->format = format ? format : is_stdin ? &format_lines : format_of_file(file);
	if (is_stdin ? fstat(STDIN_FILENO, &status) : stat(file, &status))
		return source_complain(source, errno);
	if (S_ISDIR(status.st_mode))
		return source_complain(source, EISDIR);
	if (!is_stdin && access(file, R_OK) != 0)
		return source_complain(source, errno);
	source->regular = S_ISREG(status.st_mode);
	source->size = source->regular ? (uint64_t)status.st_size : 0;
	return 0;
}

int sources_init(struct sources *sources, char *const *files, size_t count, const struct format *format)
{
	static char *const standard[] = { (char *)SOURCE_STDIN };
	bool known = true;

	if (count == 0) {
		files = standard;
		count = 1;
	}
	sources->list = memory_new(count * sizeof(*sources->list));
	sources->count = count;
	sources->size = 0;
	for (size_t i = 0; i < count; i++) {
		if (source_init(&sources->list[i], files[i], format) < 0)
			return -1;
		sources->size += sources->list[i].size;
		known = known && sources->list[i].regular;
	}
	if (!known)
		sources->size = 0;
	return 0;
}

void sources_fini(struct sources *sources)
{
	free(sources->list);
}

/* Without waiting: a named pipe would hold us up until somebody writes to it,
 * where no signal is looked for. */
int source_open(const struct source *source)
{
	int fd = source->path ? open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : STDIN_FILENO;

	return fd < 0 ? source_complain(source, errno) : fd;
}

void source_close(const struct source *source, int fd)
{
	if (source->path)
		close(fd);
}
