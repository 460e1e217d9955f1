// SPDX-License-Identifier: MIT
// The recorder with a disk that fails: the same program, with a layer of SQLite's below the store
// that counts what is asked of the disk and does harm at the chosen moment.
//
// TICKMARK_FAULT=KIND:NUMBER, counted from 0:
//   kill   the process dies by SIGKILL in the NUMBER-th change, half of it done
//   full   the NUMBER-th change, and all later ones that need room, find the disk full
//   io     the NUMBER-th access, of whatever kind, fails
//   count  nothing
// TICKMARK_FAULT_COUNT names a file that gets "CHANGES ACCESSES" if the process lives to its end.
// Changes are writes, truncations, deletions and syncs; accesses are these and reads and opens.
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int recorder_main(int count, char **words);

static struct {
    char kind[8];
    unsigned long number, changes, accesses;
    sqlite3_vfs *real;
    sqlite3_vfs faulty;
} disk;

struct file {
    sqlite3_file base;
    sqlite3_file *real; // behind this struct
};

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct file *)file)->real;
}

static int is_kind(const char *kind)
{
    return strcmp(disk.kind, kind) == 0;
}

// True if this access fails.
static int access_fails(void)
{
    return disk.accesses++ == disk.number && is_kind("io");
}

// True if the process dies in this change, when the caller has done half of it.
static int change_kills(void)
{
    return disk.changes == disk.number && is_kind("kill");
}

static int disk_is_full(void)
{
    return disk.changes >= disk.number && is_kind("full");
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    pause();
}

static int fault_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int fault_read(sqlite3_file *file, void *bytes, int count, sqlite3_int64 at)
{
    if (access_fails())
        return SQLITE_IOERR_READ;
    return real_of(file)->pMethods->xRead(real_of(file), bytes, count, at);
}

static int fault_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 at)
{
    sqlite3_file *real = real_of(file);
    if (access_fails())
        return SQLITE_IOERR_WRITE;
    if (change_kills()) {
        real->pMethods->xWrite(real, bytes, count / 2, at);
        die();
    }
    if (disk_is_full())
        return SQLITE_FULL;
    disk.changes++;
    return real->pMethods->xWrite(real, bytes, count, at);
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (access_fails())
        return SQLITE_IOERR_TRUNCATE;
    if (change_kills())
        die();
    disk.changes++;
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int fault_sync(sqlite3_file *file, int flags)
{
    if (access_fails())
        return SQLITE_IOERR_FSYNC;
    if (change_kills())
        die();
    disk.changes++;
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int fault_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int fault_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int fault_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int fault_check(sqlite3_file *file, int *reserved)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), reserved);
}

static int fault_control(sqlite3_file *file, int what, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), what, argument);
}

static int fault_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

// Nothing is promised, so that SQLite takes no short cuts.
static int fault_device(sqlite3_file *file)
{
    (void)file;
    return 0;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_device,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *opened, int flags, int *out)
{
    struct file *file = (struct file *)opened;
    (void)vfs;
    file->base.pMethods = NULL;
    file->real = (sqlite3_file *)(file + 1);
    if (access_fails())
        return SQLITE_CANTOPEN;
    const int result = disk.real->xOpen(disk.real, name, file->real, flags, out);
    if (result == SQLITE_OK)
        file->base.pMethods = &methods;
    return result;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    if (access_fails())
        return SQLITE_IOERR_DELETE;
    if (change_kills())
        die();
    disk.changes++;
    return disk.real->xDelete(disk.real, name, sync);
}

static void write_counts(void)
{
    const char *path = getenv("TICKMARK_FAULT_COUNT");
    FILE *file = path != NULL ? fopen(path, "w") : NULL;
    if (file == NULL)
        return;
    fprintf(file, "%lu %lu\n", disk.changes, disk.accesses);
    fclose(file);
}

int main(int count, char **words)
{
    const char *fault = getenv("TICKMARK_FAULT");
    if (fault == NULL || sscanf(fault, "%7[a-z]:%lu", disk.kind, &disk.number) != 2)
        return 2;
    disk.real = sqlite3_vfs_find(NULL);
    disk.faulty = *disk.real;
    disk.faulty.zName = "faulty";
    disk.faulty.szOsFile = (int)sizeof(struct file) + disk.real->szOsFile;
    disk.faulty.xOpen = fault_open;
    disk.faulty.xDelete = fault_delete;
    if (sqlite3_vfs_register(&disk.faulty, 1) != SQLITE_OK)
        return 2;
    const int code = recorder_main(count, words);
    write_counts();
    return code;
}
