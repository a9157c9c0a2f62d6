/* An emulated servo bus: servos of one family on one wire, with its faults. For tests, demonstrations and rehearsals.
 *
 * It has no clock and no port: the program that owns them calls
 *
 *     tl_emulated_receive(&bus, bytes, n, now_ns);      when the host has written
 *     n = tl_emulated_take(&bus, out, room, now_ns);    what has come over the wire by now
 *     tl_emulated_due(&bus)                             when the next byte will have come
 *
 * so that a test runs it in virtual time, exactly, and a process in real time behind a pty. Each byte of host and
 * servos takes 10 bits of the baud rate; bytes that overlap on the wire destroy each other.
 *
 * Servos answer a sync read one after the other. A servo waits for the answer of the one before it: behind a dead one
 * all are silent. */
#pragma once

#include "firmware_bridge/bus/packet.h"
#include "firmware_bridge/bus/servo.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TL_EMULATED_SERVOS_MAX = 16,
    TL_EMULATED_TABLE = 160,
    TL_EMULATED_WIRE_MAX = 4096,
    TL_EMULATED_MAGIC = 0x53424C54
};

typedef struct {
    uint8_t id;
    uint8_t dead;                            /* 1: does not receive, does not answer */
    uint8_t alarm;                           /* error bits in each of its answers; Dynamixel: Hardware Error Status */
    uint8_t wakes;                           /* 1: a goal switches its torque on, as is reported for STS servos */
    uint32_t late_us;                        /* its next answers come later by this */
    uint32_t late_answers;                   /* number of them */
    uint32_t goals;                          /* number of goals it has taken; counts only up */
    uint32_t refusals;                       /* writes it has refused */
    uint64_t heard_us;                       /* the newest packet on the bus, for Bus Watchdog */
    float position_rad, speed_rad_s, torque; /* torque: -1 to 1 of the largest */
    float gravity;                           /* torque that holds the load at position 0 + 90 degrees; 0: none */
    float temperature_c;
    uint8_t registered; /* bytes of a registered write; 0: none */
    uint16_t registered_address;
    uint8_t registered_bytes[32];
    uint8_t table[TL_EMULATED_TABLE];
} tl_emulated_servo;

typedef struct {
    uint64_t due_ns;
    uint8_t byte;
} tl_emulated_byte;

typedef struct {
    uint32_t magic; /* TL_EMULATED_MAGIC once it is initialised: the struct is also a file (servos.c) */
    uint32_t baud;
    uint32_t family; /* index of tl_servo_family_at() */
    uint32_t count;
    uint8_t echo;
    uint32_t collisions; /* bytes destroyed on the wire */
    uint32_t packets, damaged;
    uint64_t now_us;  /* time to which the servos have moved */
    uint64_t free_ns; /* end of what the host sends */
    uint32_t size;    /* of in */
    uint32_t waiting; /* of out */
    uint8_t in[2 * TL_BUS_WIRE_MAX];
    tl_emulated_byte out[TL_EMULATED_WIRE_MAX]; /* in the order of due_ns */
    tl_emulated_servo servos[TL_EMULATED_SERVOS_MAX];
} tl_emulated;

/* Servos with the ids 1 to count, torque off, at the middle of their range. False: an unknown family, no or too many
 * servos, or a baud rate below 1200. */
bool tl_emulated_init(tl_emulated *bus, const char *family, uint32_t count, uint32_t baud, uint64_t now_ns);

void tl_emulated_receive(tl_emulated *bus, const uint8_t *bytes, size_t n, uint64_t now_ns);
size_t tl_emulated_take(tl_emulated *bus, uint8_t *out, size_t room, uint64_t now_ns);
uint64_t tl_emulated_due(const tl_emulated *bus); /* UINT64_MAX: nothing waits */

/* When the last of the bytes that follow each other without a gap will have come: adapters deliver them together. */
uint64_t tl_emulated_run_end(const tl_emulated *bus);

/* Moves the servos on to this time; receive() and take() do it too. */
void tl_emulated_advance(tl_emulated *bus, uint64_t now_us);

/* A register of a servo by its role (TL_REG_*), as its table holds it now. */
int64_t tl_emulated_get(const tl_emulated *bus, const tl_emulated_servo *servo, int role);
void tl_emulated_set(const tl_emulated *bus, tl_emulated_servo *servo, int role, int64_t v);

#ifdef __cplusplus
}
#endif
