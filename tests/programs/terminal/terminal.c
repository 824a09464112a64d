/* What does a terminal do for the leader of its session? Keys are typed by whoever sees the words in brackets. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static struct termios usual;
static volatile sig_atomic_t interrupts, resizes;

static void on_interrupt(int signo) { (void)signo, interrupts++; }
static void on_resize(int signo) { (void)signo, resizes++; }

static void show(const char *what, long result)
{
    printf("%s: %ld%s%s\n", what, result, result < 0 ? " " : "", result < 0 ? strerrorname_np(errno) : "");
}

static void mode(tcflag_t off, int minimum, int tenths)
{
    struct termios settings = usual;
    settings.c_lflag &= ~off;
    settings.c_cc[VMIN] = minimum, settings.c_cc[VTIME] = tenths;
    show("tcsetattr", tcsetattr(0, TCSANOW, &settings));
}

static void ask(const char *keys) { printf("[%s]\n", keys), fflush(stdout); }

static void wait_for_keys(int count)
{
    struct pollfd about = {0, POLLIN, 0};
    int ready = 0;
    while (poll(&about, 1, -1) == 1 && (ioctl(0, FIONREAD, &ready), ready < count))
        ;
    printf("ready: %d, revents %#x\n", ready, (unsigned)about.revents);
}

static void get(size_t size)
{
    char buffer[64] = "";
    ssize_t got = read(0, buffer, size);
    show("read", got);
    for (ssize_t i = 0; i < got; i++)
        printf(" %02x", (unsigned char)buffer[i]);
    if (got > 0)
        puts("");
}

static void names(void)
{
    struct stat status;
    struct winsize window;
    int tty = open("/dev/tty", O_RDWR);
    printf("isatty %d %d %d, ttyname %.9s\n", isatty(0), isatty(1), isatty(2), ttyname(0));
    fstat(0, &status);
    printf("character device %d, major %u\n", S_ISCHR(status.st_mode), major(status.st_rdev));
    fstat(tty, &status);
    printf("/dev/tty isatty %d, %s\n", isatty(tty), ttyname(tty) ? "has a name" : "has no name");
    printf("foreground %d, session %d\n", tcgetpgrp(0) == getpgrp(), tcgetsid(tty) == getsid(0));
    ioctl(0, TIOCGWINSZ, &window);
    printf("window %d x %d\n", window.ws_row, window.ws_col);
    window.ws_row = 50;
    show("TIOCSWINSZ", ioctl(0, TIOCSWINSZ, &window));
    show("TIOCSWINSZ to the same", ioctl(0, TIOCSWINSZ, &window));
    printf("resizes %d\n", (int)resizes);
    show("TCGETS to nowhere", ioctl(0, TCGETS, 8));
    show("TCSETS from nowhere", ioctl(0, TCSETS, 8));
    show("no such request", ioctl(0, 0x54ff, 8));
    show("TCFLSH of nothing", ioctl(0, TCFLSH, 9));
    show("lseek", lseek(0, 0, SEEK_SET));
    close(tty);
}

static void raw_reads(void)
{
    mode(ICANON | ECHO, 1, 0);
    ask("a"), get(10);
    mode(ICANON | ECHO, 3, 0);
    ask("abc"), get(10);
    ask("de"), get(2);
    mode(ICANON | ECHO, 0, 0);
    get(10);
    mode(ICANON | ECHO, 0, 1);
    get(10);
    mode(ICANON | ECHO, 9, 1);
    ask("xy"), wait_for_keys(2), get(10);
}

static void lines(void)
{
    mode(ECHO, 0, 0);
    ask("one\r"), wait_for_keys(4), get(2), get(10);
    ask("half\004"), get(10);
    ask("\004"), get(10);
    ask("gone\r"), wait_for_keys(5);
    show("tcflush", tcflush(0, TCIFLUSH));
    fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
    get(10);
    fcntl(0, F_SETFL, fcntl(0, F_GETFL) & ~O_NONBLOCK);
}

static void keys(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    ask("\003"), get(10);
    printf("interrupts %d\n", (int)interrupts);
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    ask("\003z\r"), get(10);
    printf("interrupts %d\n", (int)interrupts);
}

/* A child, in a group or a session of its own, does something with the terminal; how it stops or ends. */
static void child(const char *what, int session, void (*act)(void))
{
    int status;
    pid_t pid = fork();
    if (!pid) {
        session ? setsid() : setpgid(0, 0);
        act();
        _exit(errno);
    }
    waitpid(pid, &status, WUNTRACED);
    if (WIFSTOPPED(status))
        printf("%s: stopped by %s\n", what, sigabbrev_np(WSTOPSIG(status)));
    else
        printf("%s: ended, %s\n", what, WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "well");
    fflush(stdout);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

static void do_nothing_wrong(void) { errno = 0; }
static void do_read(void) { char c; errno = 0, read(0, &c, 1); }
static void do_read_ignoring(void) { signal(SIGTTIN, SIG_IGN), do_read(); }
static void do_write(void) { errno = 0, write(1, "from behind\n", 12); }
static void do_set(void) { errno = 0, tcsetattr(0, TCSANOW, &usual); }
static void do_take(void) { errno = 0, tcsetpgrp(0, getpgrp()); }
static void do_take_ignoring(void) { signal(SIGTTOU, SIG_IGN), do_take(); }
static void do_flush(void) { errno = 0, tcflush(0, TCIFLUSH); }
static void do_leave(void) { errno = 0, open("/dev/tty", O_RDWR); }
static void do_ask_elsewhere(void) { errno = 0, tcgetpgrp(0); }
static void do_claim(void) { errno = 0, ioctl(0, TIOCSCTTY, 0) || tcgetpgrp(0) != getpgrp() || open("/dev/tty", O_RDWR); }

static void jobs(void)
{
    child("nothing", 0, do_nothing_wrong);
    child("read", 0, do_read);
    child("read, SIGTTIN ignored", 0, do_read_ignoring);
    child("write", 0, do_write);
    struct termios settings = usual;
    settings.c_lflag |= TOSTOP;
    tcsetattr(0, TCSANOW, &settings);
    child("write with TOSTOP", 0, do_write);
    tcsetattr(0, TCSANOW, &usual);
    child("tcsetattr", 0, do_set);
    child("tcflush", 0, do_flush);
    child("tcsetpgrp", 0, do_take);
    signal(SIGTTOU, SIG_IGN);
    child("tcsetpgrp, SIGTTOU ignored", 0, do_take_ignoring);
    show("foreground again", tcsetpgrp(0, getpgrp()));
    signal(SIGTTOU, SIG_DFL);
    child("/dev/tty from another session", 1, do_leave);
    child("tcgetpgrp from another session", 1, do_ask_elsewhere);
    show("tcsetpgrp to no group", tcsetpgrp(0, 4194000));
    show("tcsetpgrp to -1", tcsetpgrp(0, -1));
    show("TIOCSCTTY again", ioctl(0, TIOCSCTTY, 0));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGWINCH, on_resize);
    signal(SIGHUP, SIG_IGN);
    tcgetattr(0, &usual);
    names();
    raw_reads();
    lines();
    keys();
    jobs();
    show("TIOCNOTTY", ioctl(0, TIOCNOTTY));
    show("/dev/tty", open("/dev/tty", O_RDWR));
    show("tcgetpgrp", tcgetpgrp(0));
    child("TIOCSCTTY by a new session", 1, do_claim);
    child("TIOCSCTTY by another", 0, do_claim);
    return 7;
}
