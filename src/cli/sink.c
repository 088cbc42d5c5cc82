/* SPDX-License-Identifier: MIT */
/* sink.c: from the text of --sink to a sink and what it is told. */
#include "cli/sink.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cli/memory.h"
#include "sinks/sinks.h"

#define SINK_DECLARE(name) extern const databuffer_sink databuffer_sink_##name;
DATABUFFER_SINKS(SINK_DECLARE)

static const databuffer_sink *const sink_table[] = {
#define SINK_ROW(name) &databuffer_sink_##name,
	DATABUFFER_SINKS(SINK_ROW)
};

#define SINK_COUNT (sizeof(sink_table) / sizeof(sink_table[0]))

const databuffer_sink *sink_at(size_t i)
{
	return i < SINK_COUNT ? sink_table[i] : NULL;
}

/* --- Finding the table ------------------------------------------------------------ */

const databuffer_sink *sink_load(const char *path, databuffer_sentence *why)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const databuffer_sink *table = NULL;
	void *object;
	char *symbol;

	/* dlopen looks for a name without a slash in the system's folders. */
	char *file = memory_format("%s%s", base == path ? "./" : "", path);

	base += strncmp(base, "lib", 3) == 0 ? 3 : 0;
	symbol = memory_format("databuffer_sink_%.*s", (int)strcspn(base, "."), base);
	for (char *c = symbol; *c; c++)
		if (!isalnum((unsigned char)*c))
			*c = '_';
	object = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (!object) {
		const char *error = dlerror();
		size_t said = strlen(file);

		/* It begins with the file's name, mostly. */
		if (strncmp(error, file, said) == 0 && strncmp(error + said, ": ", 2) == 0)
			error += said + 2;
		databuffer_sentence_set(why, 0, "cannot load the sink %s: %s", path, error);
	} else {
		table = dlsym(object, symbol);
		if (!table) {
			databuffer_sentence_set(why, 0, "%s is no sink: it defines no %s", path, symbol);
		} else if (table->abi != DATABUFFER_SINK_ABI) {
			databuffer_sentence_set(
			    why, 0,
			    "%s was built for version %d of <databuffer/sink.h>, this command "
			    "has version %d; build it again",
			    path, table->abi, DATABUFFER_SINK_ABI);
			table = NULL;
		}
	}
	free(symbol);
	free(file);
	return table;
}

static bool sink_is_file(const char *name)
{
	size_t len = strlen(name);

	return strchr(name, '/') || (len > 3 && strcmp(name + len - 3, ".so") == 0);
}

static const databuffer_sink *sink_find(const char *name, databuffer_sentence *why)
{
	char names[256] = "";

	if (sink_is_file(name))
		return sink_load(name, why);
	for (size_t i = 0; i < SINK_COUNT; i++) {
		size_t used = strlen(names);

		if (strcmp(sink_table[i]->name, name) == 0)
			return sink_table[i];
		snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "", sink_table[i]->name);
	}
	databuffer_sentence_set(
	    why, 0, "there is no sink \"%s\"; there are %s, or name a file, as ./my.so:TARGET", name, names);
	return NULL;
}

/* --- Target and parameters --------------------------------------------------------- */

static int sink_hex(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* In place. A % that no two hexadecimal digits follow, or two zeros, stands for
 * itself. */
static void sink_decode(char *text)
{
	char *to = text;

	for (; *text; text++, to++) {
		int high = *text == '%' ? sink_hex(text[1]) : -1;
		int low = high >= 0 ? sink_hex(text[2]) : -1;

		if (low >= 0 && high + low > 0) {
			*to = (char)(high << 4 | low);
			text += 2;
		} else {
			*to = *text;
		}
	}
	*to = '\0';
}

static size_t sink_parameter_count(const databuffer_sink *table)
{
	size_t count = 0;

	while (table->parameters && table->parameters[count].name)
		count++;
	return count;
}

/* A parameter as a row of options, which knows how to parse and to tell itself. */
static databuffer_option sink_row(const databuffer_sink_parameter *parameter)
{
	databuffer_option row = {
	    .name = parameter->name,
	    .type = parameter->type,
	    .unit = parameter->unit ? parameter->unit : "",
	    .min = parameter->min,
	    .max =
		parameter->type == DATABUFFER_OPTION_TEXT && parameter->max == 0 ? INT64_MAX : parameter->max,
	    .choices = parameter->choices,
	    .help = parameter->help,
	};

	return row;
}

static int sink_set(struct sink *sink, size_t i, const char *text, databuffer_sentence *why)
{
	databuffer_option row = sink_row(&sink->table->parameters[i]);
	char wrong[320];

	if (option_parse(&row, text, &sink->values[i].number, wrong, sizeof(wrong)) < 0)
		return databuffer_sentence_set(why, -1, "the parameter %s of the sink %s %s", row.name,
		                               sink->table->name, wrong);
	sink->values[i].text = text;
	return 0;
}

static int sink_set_pair(struct sink *sink, char *pair, databuffer_sentence *why)
{
	char *value = strchr(pair, '='), names[256] = "";
	size_t count = sink_parameter_count(sink->table);

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < count; i++) {
		const char *name = sink->table->parameters[i].name;
		size_t used = strlen(names);

		if (strcmp(name, pair) == 0) {
			if (!value)
				return databuffer_sentence_set(
				    why, -1, "the parameter %s of the sink %s needs a value, as %s=...", pair,
				    sink->table->name, pair);
			sink_decode(value);
			return sink_set(sink, i, value, why);
		}
		snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "", name);
	}
	return databuffer_sentence_set(why, -1, "the sink %s has no parameter \"%s\"; it has %s",
	                               sink->table->name, pair, count ? names : "none");
}

static int sink_set_all(struct sink *sink, char *pairs, databuffer_sentence *why)
{
	size_t count = sink_parameter_count(sink->table);
	char *pair;

	sink->values = memory_new((count + 1) * sizeof(*sink->values));
	for (size_t i = 0; i < count; i++)
		if (sink_set(sink, i, sink->table->parameters[i].initial, why) < 0)
			return -1;
	while ((pair = strsep(&pairs, "&")) != NULL)
		if (*pair && sink_set_pair(sink, pair, why) < 0)
			return -1;
	return 0;
}

int sink_init(struct sink *sink, const char *text, databuffer_sentence *why)
{
	const char *colon = strchr(text, ':');
	char *name, *pairs;

	*sink = (struct sink){ .target = NULL };
	if (!colon)
		return databuffer_sentence_set(
		    why, -1, "--sink must be NAME:TARGET, as sqlite:FILE, not \"%s\"", text);
	name = memory_copy(text, (size_t)(colon - text));
	sink->table = sink_find(name, why);
	free(name);
	if (!sink->table)
		return -1;

	sink->target = memory_copy(colon + 1, strlen(colon + 1));
	pairs = strchr(sink->target, '?');
	if (pairs)
		*pairs++ = '\0';
	sink_decode(sink->target);
	if (sink->table->target && sink->target[0] == '\0')
		return databuffer_sentence_set(why, -1, "the sink %s needs a target: %s:%s",
		                               sink->table->name, sink->table->name, sink->table->target);
	if (!sink->table->target && sink->target[0] != '\0')
		return databuffer_sentence_set(why, -1,
		                               "the sink %s takes no target: write \"%s:\", not \"%s\"",
		                               sink->table->name, sink->table->name, text);
	if (sink_set_all(sink, pairs, why) < 0)
		return -1;
	sink->config = (databuffer_sink_config){ .target = sink->target, .values = sink->values };
	return 0;
}

void sink_fini(struct sink *sink)
{
	free(sink->values);
	free(sink->target);
}

void sink_describe(const databuffer_sink *table)
{
	char range[160], left[64];

	printf("%s:%s\n    %s\n", table->name, table->target ? table->target : "", table->help);
	for (const databuffer_sink_parameter *at = table->parameters; at && at->name; at++) {
		databuffer_option row = sink_row(at);

		snprintf(left, sizeof(left), "%s=%s", at->name, option_word(&row));
		if (at->type == DATABUFFER_OPTION_TEXT)
			printf("    %-26s %s (default %s)\n", left, at->help,
			       at->initial[0] ? at->initial : "none");
		else {
			option_range(&row, range, sizeof(range));
			printf("    %-26s %s (%s; default %s)\n", left, at->help, range, at->initial);
		}
	}
}
