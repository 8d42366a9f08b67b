/* Lets writes to files with FAULT_FOLDER in their paths fail with the error number that the test sets; 0 is none. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int is_concerned(int file) {
    char link[64], path[4096] = {0};
    const char *folder = getenv("FAULT_FOLDER");
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    return folder && readlink(link, path, sizeof path - 1) > 0 && strstr(path, folder);
}

ssize_t write(int file, const void *bytes, size_t count) {
    int number = control();
    if (number && is_concerned(file)) {
        errno = number;
        return -1;
    }
    return syscall(SYS_write, file, bytes, count);
}
