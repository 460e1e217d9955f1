// SPDX-License-Identifier: MIT
// Other people's libraries, loaded at run time, so that the program neither needs them nor calls
// any of their functions by accident; and those that are headers, compiled in where they were
// found. The main thread's.
//
// Rules for callers
//   symbols    a library sees its own functions first and nobody else sees them: its malloc is not
//              the process's
//   place      the system's folders, or only the one that TICKMARK_PEERS names
//   tuning     none: a library is measured as packaged. What its environment says is not touched;
//              the fact peers.tuning names such variables
#ifndef LIBRARY_H
#define LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#define LIBRARY_TEXT 160 // bytes of a version or a problem, with their end

struct library {
    const char *name; // as in row ids
    const char *file; // its name, or a pattern of full paths (glob), of which the last is taken
    bool own;         // part of this process anyway: TICKMARK_PEERS does not hide it
    // Not loaded but compiled in; the two members below are not wanted then. TICKMARK_PEERS hides
    // it, since it does not lie in that folder.
    const char *header; // its name; NULL: a library
    const char *built;  // the version that was there when this was built; "": none
    // Looks the functions up. NULL, or the name of the one that is missing.
    const char *(*bind)(void *handle);
    // Writes the version; `path` is the library's file without symbolic links.
    void (*tell)(void *handle, const char *path, char *text, size_t capacity);
    // Made by library_load.
    bool present;
    bool wants_room; // it would work with more room for what late libraries keep in each thread
    char version[LIBRARY_TEXT];
    char problem[LIBRARY_TEXT];
};

// Loads the library and binds it, or says why not.
void library_load(struct library *library);

// Executes the program again with more room for the static thread-local storage of libraries that
// are loaded at run time. Returns if that was done before, or cannot be done.
void library_make_room(char **words);

// The version as the file's name has it: what follows ".so.".
void library_tell_file(void *handle, const char *path, char *text, size_t capacity);

// The running kernel's name and release: of what is the system's, not a library's.
void library_tell_system(void *handle, const char *path, char *text, size_t capacity);

// The names of the environment's variables that tune what is loaded, separated by spaces.
void library_tuning(char *text, size_t capacity);

#endif
