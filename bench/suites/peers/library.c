// SPDX-License-Identifier: MIT
#include "library.h"

#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

// What the loader keeps for libraries with static thread-local storage is 512 bytes unless it is
// told otherwise (glibc, manual: dynamic linking tunables). The allocators here want up to 14 KB.
#define ROOM_TUNABLE "glibc.rtld.optional_static_tls"
#define ROOM_BYTES   "20000"
#define NO_ROOM      "static TLS block"

extern char **environ;

// What follows the last slash.
static const char *name_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

// The last file of a pattern, in the order of names.
static bool newest(const char *pattern, char *path, size_t capacity)
{
    glob_t found;
    const bool there = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0;
    if (there)
        snprintf(path, capacity, "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return there;
}

// Where to look for it; false if there is no such file.
static bool locate(const struct library *library, char *path, size_t capacity)
{
    const char *folder = getenv("TICKMARK_PEERS");
    const bool found_by_pattern = name_of(library->file) != library->file;
    if (folder != NULL && !library->own) {
        char pattern[PATH_MAX];
        snprintf(pattern, sizeof(pattern), "%s/%s", folder, name_of(library->file));
        return newest(pattern, path, capacity);
    }
    if (found_by_pattern)
        return newest(library->file, path, capacity);
    snprintf(path, capacity, "%s", library->file); // the loader's to find
    return true;
}

static void version(struct library *library, void *handle)
{
    char real[PATH_MAX] = "";
    const struct link_map *map = NULL;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || realpath(map->l_name, real) == NULL)
        real[0] = '\0';
    snprintf(library->version, sizeof(library->version), "unknown");
    library->tell(handle, real, library->version, sizeof(library->version));
}

static void take_header(struct library *library)
{
    library->present = library->built[0] != '\0' && getenv("TICKMARK_PEERS") == NULL;
    snprintf(library->version, sizeof(library->version), "%s", library->built);
    if (library->built[0] == '\0')
        snprintf(library->problem, sizeof(library->problem), "no %s when this was built",
                 library->header);
    else
        snprintf(library->problem, sizeof(library->problem), "not in the folder of TICKMARK_PEERS");
}

void library_load(struct library *library)
{
    char path[PATH_MAX];
    if (library->header != NULL) {
        take_header(library);
        return;
    }
    if (!locate(library, path, sizeof(path))) {
        snprintf(library->problem, sizeof(library->problem), "no file %s", name_of(library->file));
        return;
    }
    // What libraries refer to at run time is found in themselves first (RTLD_DEEPBIND), and all of
    // it now, not inside a measured window.
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (handle == NULL) {
        const char *const why = dlerror();
        const size_t folder = (size_t)(name_of(path) - path); // is nobody's business
        library->wants_room = strstr(why, NO_ROOM) != NULL;
        snprintf(library->problem, sizeof(library->problem), "%s",
                 strncmp(why, path, folder) == 0 ? why + folder : why);
        return;
    }
    const char *const missing = library->bind(handle);
    if (missing != NULL) {
        snprintf(library->problem, sizeof(library->problem), "%.60s has no %s", name_of(path),
                 missing);
        return; // stays loaded: some of these cannot be unloaded
    }
    version(library, handle);
    library->present = true;
}

void library_make_room(char **words)
{
    char path[PATH_MAX], tunables[4096];
    const char *old = getenv("GLIBC_TUNABLES");
    if (old != NULL && strstr(old, ROOM_TUNABLE) != NULL)
        return; // made before, by us or by whoever knows better
    const ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    const int wanted = snprintf(tunables, sizeof(tunables), "%s%s" ROOM_TUNABLE "=" ROOM_BYTES,
                                old != NULL ? old : "", old != NULL && old[0] != '\0' ? ":" : "");
    if (length <= 0 || wanted >= (int)sizeof(tunables))
        return;
    path[length] = '\0';
    if (setenv("GLIBC_TUNABLES", tunables, 1) == 0)
        execv(path, words);
}

void library_tell_file(void *handle, const char *path, char *text, size_t capacity)
{
    const char *const suffix = strstr(path, ".so.");
    (void)handle;
    if (suffix != NULL)
        snprintf(text, capacity, "%s", suffix + strlen(".so."));
}

void library_tell_system(void *handle, const char *path, char *text, size_t capacity)
{
    struct utsname name;
    (void)handle;
    (void)path;
    if (uname(&name) == 0)
        snprintf(text, capacity, "%.60s %.90s", name.sysname, name.release);
}

void library_tuning(char *text, size_t capacity)
{
    static const char *const prefixes[] = {"MALLOC_",   "MIMALLOC_",   "TCMALLOC_",
                                           "JEMALLOC_", "TBB_MALLOC_", "SCUDO_OPTIONS"};
    size_t length = 0;
    text[0] = '\0';
    for (char **one = environ; *one != NULL; one++) {
        const size_t name = strcspn(*one, "=");
        bool tunes =
            strncmp(*one, "GLIBC_TUNABLES", name) == 0 && strstr(*one, "glibc.malloc.") != NULL;
        for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
            tunes = tunes || strncmp(*one, prefixes[i], strlen(prefixes[i])) == 0;
        if (tunes && length + name + 2 <= capacity)
            length += (size_t)snprintf(text + length, capacity - length, "%s%.*s",
                                       length > 0 ? " " : "", (int)name, *one);
    }
}
