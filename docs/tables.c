/*
 * tables.c: prints the tables that man/databuffer.3 has, from the library itself, in
 * mdoc.
 *
 *      tables options|errors|triggers|counters|events
 *
 * tests/docs/tables.sh compares, and with --update writes them into their places.
 */
#include <databuffer.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* A line of help as a sentence. */
static void print_sentence(const char *help)
{
	printf("%c%s.\n", toupper((unsigned char)help[0]), help + 1);
}

/* --- Options ---------------------------------------------------------------- */

/* "5000 items", "threads", "none" */
static void print_default(const databuffer_option *option)
{
	const char *word = option->choices;

	switch (option->type) {
	case DATABUFFER_OPTION_TEXT:
		printf("none");
		break;
	case DATABUFFER_OPTION_CHOICE:
		for (int64_t i = 0; i < option->initial; i++)
			word = strchr(word, '|') + 1;
		printf("%.*s", (int)strcspn(word, "|"), word);
		break;
	default:
		printf("%lld%s%s", (long long)option->initial, option->unit[0] ? " " : "", option->unit);
		break;
	}
}

static void print_range(const databuffer_option *option)
{
	switch (option->type) {
	case DATABUFFER_OPTION_TEXT:
		printf("%lld to %lld bytes", (long long)option->min, (long long)option->max);
		break;
	case DATABUFFER_OPTION_CHOICE:
		for (const char *c = option->choices; *c; c++)
			*c == '|' ? (void)printf(" or ") : (void)putchar(*c);
		break;
	case DATABUFFER_OPTION_FLAG:
		printf("0 or 1");
		break;
	default:
		if (option->max == INT64_MAX)
			printf("%lld or more", (long long)option->min);
		else
			printf("%lld to %lld", (long long)option->min, (long long)option->max);
		break;
	}
}

static void options(void)
{
	const databuffer_option *option;

	for (size_t i = 0; (option = databuffer_options_at(i)) != NULL; i++) {
		printf(".It Fa %s\n", option->name);
		print_sentence(option->help);
		printf("Default: ");
		print_default(option);
		printf("; range: ");
		print_range(option);
		printf("%s.\n", option->live ? "; live" : "");
	}
}

/* --- The lists of the header --------------------------------------------------- */

static void errors(void)
{
#define PRINT(name, number, text)                                                     \
	printf(".It Dv DATABUFFER_%s Pq Er %s\n", #name, &#number[1]);                \
	print_sentence(text);
	DATABUFFER_ERRORS(PRINT)
#undef PRINT
}

static void triggers(void)
{
#define PRINT(name, text) printf(".It Dv DATABUFFER_TRIGGER_%s Pq Qq %s\n", #name, text);
	DATABUFFER_TRIGGERS(PRINT)
#undef PRINT
}

static void counters(void)
{
#define PRINT(field, text)               \
	printf(".It Fa %s\n", #field);   \
	print_sentence(text);
	DATABUFFER_COUNTERS(PRINT)
#undef PRINT
}

static void events(void)
{
#define PRINT(name, bit, text)                        \
	printf(".It Dv DATABUFFER_%s\n", #name);      \
	print_sentence(text);
	DATABUFFER_EVENTS(PRINT)
#undef PRINT
}

static const struct {
	const char *name;
	void (*print)(void);
} tables[] = {
	{ "options", options }, { "errors", errors }, { "triggers", triggers },
	{ "counters", counters }, { "events", events },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (strcmp(argv[1], tables[i].name) == 0) {
			tables[i].print();
			return 0;
		}
	}
	fprintf(stderr, "usage: tables options|errors|triggers|counters|events\n");
	return 2;
}
