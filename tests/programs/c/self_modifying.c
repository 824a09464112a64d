/* Is code that was changed really the code that runs: written in place, through mprotect, through a twin mapping, by read(2)? */
#include "say.h"

typedef int (*function)(void);

static void emit(unsigned char *at, int value)
{
    at[0] = 0xb8; /* mov eax, imm32; ret */
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
}

int main(void)
{
    unsigned char *code = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    function call = (function)(uintptr_t)code;
    int sum = 0;
    for (int i = 0; i < 100; i++) {
        emit(code, i);
        sum += call();
    }
    say("in place: %d\n", sum);
    for (int i = sum = 0; i < 20; i++) {
        mprotect(code, 4096, PROT_READ | PROT_WRITE);
        emit(code, i * 10);
        mprotect(code, 4096, PROT_READ | PROT_EXEC);
        sum += call();
    }
    say("with mprotect: %d\n", sum);
    int fd = open("/tmp/cr3lab-code", O_RDWR | O_CREAT | O_TRUNC, 0600), ends[2];
    unlink("/tmp/cr3lab-code");
    ftruncate(fd, 4096);
    unsigned char *writable = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    call = (function)(uintptr_t)mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    for (int i = sum = 0; i < 20; i++) {
        emit(writable, i * 100);
        sum += call();
    }
    say("twin mapping: %d\n", sum);
    unsigned char image[6];
    for (int i = sum = 0; i < 20; i++) {
        emit(image, i);
        pwrite(fd, image, 6, 0);
        sum += call();
    }
    say("write(2): %d\n", sum);
    mprotect(code, 4096, 7);
    call = (function)(uintptr_t)code;
    if (pipe(ends))
        return 1;
    for (int i = sum = 0; i < 20; i++) {
        emit(image, i + 1);
        write(ends[1], image, 6);
        read(ends[0], code, 6);
        sum += call();
    }
    say("read(2): %d\n", sum);
    emit(code, 1);
    pid_t child = fork();
    if (child == 0) {
        emit(code, 2);
        _exit(call());
    }
    wait_and_say("child", child);
    say("parent %d\n", call());
    munmap(code, 8192);
    code = mmap(code, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    emit(code, 55);
    say("mapped anew: %d\n", call());
    return 0;
}
