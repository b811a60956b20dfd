/*
 * embed: writes the Lua sources named on the command line as a C table, vm_modules[], and texts of licences as another,
 * vm_licenses[], to standard output.
 *
 *   embed FILE... [-- NAME=TEXT...]    FILE is FOLDER/NAME.lua, module "NAME"; FOLDER/A/B.lua is "A.B". A TEXT that is not there is
 *                                      left out.
 *
 * Run by the Makefile at build time; it stands alone. Text goes out as string literals, a source line each: compilers
 * take those several times faster than lists of numbers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quit(const char *path, const char *what)
{
    fprintf(stderr, "embed: %s: %s\n", path, what);
    exit(1);
}

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static size_t write_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t length = 0;
    int c;

    if (!f)
        quit(path, "cannot open");
    fputs("        \"", stdout);
    for (; (c = getc(f)) != EOF; length++) {
        if (c == '\n')
            fputs("\\n\"\n        \"", stdout);
        else if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || c > '~' || c == '?')
            printf("\\%03o", (unsigned)c); /* three digits: what follows can never join in; ? makes no trigraph */
        else
            putchar(c);
    }
    if (ferror(f))
        quit(path, "cannot read");
    fclose(f);
    fputs("\"", stdout);
    return length;
}

static void write_licenses(char **list, char **end)
{
    puts("\nconst vm_module vm_licenses[] = {");
    for (; list < end; list++) {
        char *path = strchr(*list, '=');
        if (!path)
            quit(*list, "not NAME=FILE");
        *path++ = '\0';
        FILE *there = fopen(path, "rb");
        if (!there)
            continue;
        fclose(there);
        printf("    {\"%s\",\n", *list);
        size_t length = write_text(path);
        printf(",\n        %zu},\n", length);
    }
    puts("    {NULL, NULL, 0}\n};");
}

int main(int argc, char **argv)
{
    char **end = argv + argc, **licenses = end;

    for (char **a = argv + 1; a < end; a++)
        if (strcmp(*a, "--") == 0) {
            argc = (int)(a - argv);
            licenses = a + 1;
            break;
        }
    if (argc > 1)
        qsort(argv + 1, (size_t)(argc - 1), sizeof *argv, compare);
    puts("/* Written by vm/embed/embed.c from the Lua sources of the standard library. */\n"
         "#include \"vm/vm.h\"\n\n"
         "const vm_module vm_modules[] = {");
    for (int i = 1; i < argc; i++) {
        const char *name = strchr(argv[i], '/');
        size_t n = name ? strlen(++name) : 0;
        if (n < 5 || strcmp(name + n - 4, ".lua") != 0)
            quit(argv[i], "not FOLDER/NAME.lua");
        fputs("    {\"", stdout);
        for (size_t j = 0; j < n - 4; j++)
            putchar(name[j] == '/' ? '.' : name[j]);
        fputs("\",\n", stdout);
        size_t length = write_text(argv[i]);
        printf(",\n        %zu},\n", length);
    }
    puts("    {NULL, NULL, 0}\n};");
    write_licenses(licenses, end);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
