// SPDX-License-Identifier: MIT
#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "common.h"

#define NAMED_MOST 6u // ports that are named where one is missing

static const struct {
    uint32_t speed;
    speed_t name;
} speeds[] = {
    {4000000, B4000000}, {3500000, B3500000}, {3000000, B3000000}, {2500000, B2500000},
    {2000000, B2000000}, {1500000, B1500000}, {1000000, B1000000}, {921600, B921600},
    {576000, B576000},   {500000, B500000},   {460800, B460800},   {230400, B230400},
    {115200, B115200},   {57600, B57600},     {38400, B38400},     {19200, B19200},
    {9600, B9600},       {4800, B4800},       {2400, B2400},       {1200, B1200},
};

#define SPEEDS (sizeof(speeds) / sizeof(speeds[0]))

// Not those that little has as a divisor of its clock: each that fails takes seconds.
const uint32_t port_speeds[] = {4000000, 3000000, 1500000, 921600, 460800, 230400, 115200, 0};

static bool find_speed(uint32_t speed, speed_t *name)
{
    for (size_t i = 0; i < SPEEDS; i++) {
        if (speeds[i].speed == speed) {
            *name = speeds[i].name;
            return true;
        }
    }
    return false;
}

bool port_knows_speed(uint32_t speed)
{
    speed_t name;
    return find_speed(speed, &name);
}

// ---- settings ----------------------------------------------------------------------------------

static bool wants_flow_control(const struct port *port)
{
    int lines = 0;
    if (port->flow == PORT_FLOW_AUTO)
        return ioctl(port->fd, TIOCMGET, &lines) == 0 && (lines & TIOCM_CTS) != 0;
    return port->flow == PORT_FLOW_ON;
}

// tcsetattr succeeds if anything at all was set: what was is read back.
static bool set_up(const struct port *port)
{
    struct termios asked, found;
    speed_t speed;
    if (!find_speed(port->speed, &speed) || tcgetattr(port->fd, &asked) != 0)
        return false;
    cfmakeraw(&asked);
    asked.c_iflag &= ~(tcflag_t)(IXON | IXOFF | IXANY | INPCK);
    asked.c_iflag |= IGNBRK; // a cable that is pulled sends one
    asked.c_cflag &= ~(tcflag_t)(CSTOPB | PARENB | HUPCL | CRTSCTS);
    asked.c_cflag |= CLOCAL | CREAD | CS8;
    if (port->waits_cts)
        asked.c_cflag |= CRTSCTS;
    asked.c_cc[VMIN] = 1; // nothing there is EAGAIN, and 0 the end
    asked.c_cc[VTIME] = 0;
    if (cfsetispeed(&asked, speed) != 0 || cfsetospeed(&asked, speed) != 0 ||
        tcsetattr(port->fd, TCSANOW, &asked) != 0 || tcgetattr(port->fd, &found) != 0)
        return false;
    return cfgetospeed(&found) == speed && (found.c_lflag & (tcflag_t)(ICANON | ECHO)) == 0;
}

bool port_set_speed(struct port *port, uint32_t speed)
{
    const uint32_t before = port->speed;
    if (!port_knows_speed(speed))
        return false;
    port->speed = speed;
    if (port->fd < 0 || !port->terminal || set_up(port))
        return true;
    port->speed = before;
    set_up(port);
    return false;
}

// ---- open and close ----------------------------------------------------------------------------

static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        const int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}

// Nobody else may read what comes: two locks, for programs that ask by the one or by the other.
static bool take_alone(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return false;
    ioctl(fd, TIOCEXCL);
    return true;
}

// 0, or why not (errno); EBUSY: somebody else has it, ENOTTY: it is no port.
static int open_any(struct port *port)
{
    struct stat about;
    int reason = 0;
    if (stat(port->path, &about) != 0)
        return errno;
    port->terminal = S_ISCHR(about.st_mode);
    if (!port->terminal && !S_ISSOCK(about.st_mode))
        return ENOTTY;
    port->fd = port->terminal ? open(port->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
                              : open_socket(port->path);
    if (port->fd < 0)
        return errno;
    // Not again at each change of speed: a machine that starts anew may have dropped it just then.
    port->waits_cts = port->terminal && wants_flow_control(port);
    if (port->terminal && isatty(port->fd) == 0)
        reason = ENOTTY;
    else if (port->terminal && !take_alone(port->fd))
        reason = EBUSY;
    else if (port->terminal && !set_up(port))
        reason = EINVAL;
    if (reason != 0)
        port_close(port);
    return reason;
}

// "; there are A, B", or nothing.
static void name_ports(char *out, size_t capacity)
{
    glob_t found = {0};
    size_t length = 0;
    out[0] = '\0';
    glob("/dev/serial/by-id/*", 0, NULL, &found);
    glob("/dev/ttyUSB*", GLOB_APPEND, NULL, &found);
    glob("/dev/ttyACM*", GLOB_APPEND, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc && i < NAMED_MOST; i++)
        length += text_format(out + length, capacity - length, "%s%s",
                              i == 0 ? "; there are " : ", ", found.gl_pathv[i]);
    globfree(&found);
}

static void explain(const struct port *port, int reason, char *why, size_t capacity)
{
    char clean[256], ports[384];
    text_clean(clean, sizeof(clean), port->path, strlen(port->path));
    name_ports(ports, sizeof(ports));
    if (reason == ENOENT || reason == ENODEV || reason == ENXIO)
        text_format(why, capacity, "%s: no such port%s", clean, ports);
    else if (reason == EACCES || reason == EPERM)
        text_format(why, capacity,
                    "%s: you may not use it: join its group (`sudo usermod -aG dialout $USER`, then"
                    " log in again)",
                    clean);
    else if (reason == EBUSY)
        text_format(why, capacity, "%s: another program has it open: end that first", clean);
    else if (reason == ENOTTY)
        text_format(why, capacity, "%s: this is no serial port%s", clean, ports);
    else if (reason == EINVAL)
        text_format(why, capacity, "%s: it cannot be set to %u bits a second", clean, port->speed);
    else
        text_format(why, capacity, "%s: %s", clean, strerror(reason));
}

bool port_open(struct port *port, const char *path, uint32_t speed, enum port_flow flow, char *why,
               size_t capacity)
{
    *port = (struct port){.path = path, .speed = speed, .flow = flow, .fd = -1};
    const int reason = open_any(port);
    if (reason != 0)
        explain(port, reason, why, capacity);
    else if (port->terminal)
        tcflush(port->fd, TCIOFLUSH);
    return reason == 0;
}

bool port_reopen(struct port *port)
{
    return port->fd >= 0 || open_any(port) == 0;
}

void port_close(struct port *port)
{
    if (port->fd >= 0)
        close(port->fd);
    port->fd = -1;
}
