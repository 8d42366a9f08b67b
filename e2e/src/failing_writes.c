/* Lets writes to files with FAULT_FOLDER in their paths fail with the error number that the file FAULT_FILE says; 0 is none. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fault(void) {
    char text[32] = {0};
    const char *path = getenv("FAULT_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atoi(text) : 0;
}

static int is_concerned(int file) {
    char link[64], path[4096] = {0};
    const char *folder = getenv("FAULT_FOLDER");
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    return folder && readlink(link, path, sizeof path - 1) > 0 && strstr(path, folder);
}

ssize_t write(int file, const void *bytes, size_t count) {
    int number = fault();
    if (number && is_concerned(file)) {
        errno = number;
        return -1;
    }
    return syscall(SYS_write, file, bytes, count);
}
