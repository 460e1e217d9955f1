// SPDX-License-Identifier: MIT
// A serial port of this computer: opened for nobody else, raw, lost and found again.
//
// A terminal device is set to 8 data bits, no parity, 1 stop bit, no character treated in any way.
// A Unix socket, of an emulator's serial port for instance, is connected to and has no speed.
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether what is sent waits for CTS, and what comes is held back by RTS.
enum port_flow {
    PORT_FLOW_AUTO, // if the other end holds CTS when the port is opened
    PORT_FLOW_ON,
    PORT_FLOW_OFF,
};

struct port {
    const char *path; // the caller's
    uint32_t speed;   // bits a second
    enum port_flow flow;
    int fd;         // non-blocking; -1: it is not there
    bool terminal;  // it has a speed
    bool waits_cts; // decided when it was opened
};

// True if a port can be set to this speed, as far as this system has a name for it.
bool port_knows_speed(uint32_t speed);

// The speeds worth a try, fastest first; 0 ends the list.
extern const uint32_t port_speeds[];

// Opens the port and throws away what came before. False, with a line in `why`: what is wrong and
// what to do.
bool port_open(struct port *port, const char *path, uint32_t speed, enum port_flow flow, char *why,
               size_t capacity);

// A port that is gone, again, by the same path and as it was. False: not there yet.
bool port_reopen(struct port *port);

// It has vanished, or is not needed any more. Nothing if it is closed.
void port_close(struct port *port);

// False if the port cannot go there; it stays where it was. A port that is gone comes back with it.
bool port_set_speed(struct port *port, uint32_t speed);

#endif
