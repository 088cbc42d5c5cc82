/* SPDX-License-Identifier: MIT */
/* replay.c FILE|FOLDER...: a fuzzer without libFuzzer: looks at each file once. */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static size_t replay_count;

static void replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = NULL;
	size_t size = 0, n = 1;

	CHECK(file);
	while (n > 0) {
		bytes = realloc(bytes, size + 65536);
		CHECK(bytes);
		n = fread(bytes + size, 1, 65536, file);
		size += n;
	}
	fclose(file);
	/* In memory of just that size, so that a byte too far is seen. */
	bytes = realloc(bytes, size > 0 ? size : 1);
	CHECK(bytes);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(bytes, size);
	free(bytes);
	replay_count++;
}

static void replay(const char *path)
{
	struct dirent *entry;
	struct stat status;
	char inside[4096];
	DIR *folder;

	CHECK(stat(path, &status) == 0);
	if (!S_ISDIR(status.st_mode)) {
		replay_file(path);
		return;
	}
	folder = opendir(path);
	CHECK(folder);
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name);
		replay(inside);
	}
	closedir(folder);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (replay_count == 0) {
		fprintf(stderr, "there is nothing to look at\n");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
