/* Transactions on a servo bus: a question, and the answers that belong to it, with one deadline.
 *
 * Rules, for each transaction:
 *   - What has arrived before the question is discarded.
 *   - An answer counts only if its id, its kind and its length are those that were asked for. Others are counted.
 *   - The deadline follows from the baud rate, the bytes of question and answers, the servos' return delay and the
 *     latency of adapter and host. There is no other time-out.
 *   - After a time-out the bus settles for as long as the deadline was, so that a late answer meets no later question.
 *   - Answers that have come are kept, whatever is missing.
 *   - An alarm is a field next to the value. A servo without a value never gets a number.
 *   - The host sleeps once for all answers, until shortly before the last one can be whole, and then looks until
 *     shortly after: woken by each answer, it would be late by one wake-up per servo.
 *
 * A tl_bus is used by one thread at a time; there is no state outside it, no heap and no clock of its own. */
#pragma once

#include "firmware_bridge/bus/packet.h"
#include "firmware_bridge/bus/servo.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_BUS_DATA_MAX = 32, TL_BUS_SERVOS_MAX = 32 };

/* The port. Times are of one monotonic clock, in us. */
typedef struct {
    void *self;
    ptrdiff_t (*read)(void *self, uint8_t *out, size_t room);       /* bytes read; 0: none now; -1: gone */
    ptrdiff_t (*write)(void *self, const uint8_t *bytes, size_t n); /* bytes accepted, possibly 0; -1: gone */
    int (*wait)(void *self, uint64_t until_us, bool for_write);     /* 1 ready, 0 time is up, -1 gone */
    uint64_t (*now_us)(void *self);
    void (*sleep)(void *self, uint64_t until_us); /* may be NULL: wait() alone is used */
} tl_bus_wire;

typedef enum {
    TL_BUS_OK = 0,
    TL_BUS_SILENT = -1,  /* an answer is missing */
    TL_BUS_GONE = -2,    /* the port is closed or unplugged */
    TL_BUS_REFUSED = -3, /* a servo has refused: its alarm has the reason */
    TL_BUS_INVALID = -4, /* the question cannot be asked: nothing was sent */
    TL_BUS_GARBLED = -5, /* bytes came, but no answer: noise, another baud rate, or two servos of one id */
    TL_BUS_ECHO = -6     /* the adapter's echo is missing or differs from what was sent */
} tl_bus_status;

/* State of a servo after its last transaction. */
enum {
    TL_SERVO_SILENT = 0, /* no answer */
    TL_SERVO_VALID = 1,  /* data is new */
    TL_SERVO_ALARM = 2   /* it answered with an alarm; `fresh` tells whether data is new */
};

typedef struct {
    uint8_t id;
    uint8_t state;    /* TL_SERVO_* */
    uint8_t alarm;    /* error of its newest answer */
    bool fresh;       /* the last transaction has brought data */
    uint8_t size;     /* bytes asked for */
    uint16_t address; /* of them */
    uint16_t misses;  /* transactions in sequence without an answer */
    uint64_t at_us;   /* when data arrived; 0: never, then data has no meaning */
    uint8_t data[TL_BUS_DATA_MAX];
} tl_bus_servo;

typedef struct {
    uint32_t questions;
    uint32_t answers;
    uint32_t timeouts;  /* transactions with at least one missing answer */
    uint32_t damaged;   /* headers without a valid packet */
    uint32_t strays;    /* valid packets without a question */
    uint32_t discarded; /* bytes that had arrived before a question, or while the bus settled */
} tl_bus_counters;

typedef struct {
    tl_bus_wire wire;
    const tl_servo_family *family;
    uint32_t baud;
    uint32_t return_delay_us; /* the longest of any servo */
    uint32_t latency_us;      /* of adapter and host, per transaction */
    bool echo;                /* the adapter returns what is sent */
    bool quiet_writes;        /* servos do not answer writes (status return level below 2; Feetech: 0) */
    uint64_t settled_us;      /* no question before this time */
    uint64_t sent_us;         /* when the last byte sent has left, by the baud rate */
    uint64_t due_us;          /* when the last answer can be whole, by the baud rate */
    tl_bus_counters counters;
    size_t n;
    uint8_t in[2 * TL_BUS_WIRE_MAX];
    uint8_t out[TL_BUS_WIRE_MAX];
    uint8_t params[TL_BUS_PARAMS_MAX];
} tl_bus;

/* baud: bits per second, >= 1200. Return delay: 500 us, the largest that servos can have; latency: 4 ms. Both may be
 * changed at any time. */
void tl_bus_init(tl_bus *bus, tl_bus_wire wire, const tl_servo_family *family, uint32_t baud);

/* Finds out whether the adapter echoes: a read of the broadcast id, which no servo answers. */
tl_bus_status tl_bus_detect_echo(tl_bus *bus);

/* Each of these asks one servo. alarm, where it is not NULL, receives the error of the answer, and 0 without one. */
tl_bus_status tl_bus_ping(tl_bus *bus, uint8_t id, uint8_t *alarm);
tl_bus_status tl_bus_read(tl_bus *bus, uint8_t id, uint16_t address, size_t n, uint8_t *out, uint8_t *alarm);
tl_bus_status tl_bus_write(tl_bus *bus, uint8_t id, uint16_t address, const uint8_t *bytes, size_t n, uint8_t *alarm);
tl_bus_status tl_bus_reg_write(tl_bus *bus, uint8_t id, uint16_t address, const uint8_t *bytes, size_t n,
                               uint8_t *alarm);
tl_bus_status tl_bus_reboot(tl_bus *bus, uint8_t id, uint8_t *alarm); /* Dynamixel */

/* Executes the registered writes of all servos; no answers. */
tl_bus_status tl_bus_action(tl_bus *bus);

/* Pings the ids first to last; found[id] receives the status of each. Returns TL_BUS_OK, or TL_BUS_GONE. */
tl_bus_status tl_bus_scan(tl_bus *bus, uint8_t first, uint8_t last, int8_t found[TL_BUS_BROADCAST]);

/* The same register bytes of count servos, in their order. servos[i]->state, alarm, fresh, at_us, data are results;
 * servos that are not named are not touched. TL_BUS_OK: all have answered. */
tl_bus_status tl_bus_sync_read(tl_bus *bus, uint16_t address, uint8_t n, tl_bus_servo *const *servos, size_t count);
tl_bus_status tl_bus_fast_sync_read(tl_bus *bus, uint16_t address, uint8_t n, tl_bus_servo *const *servos,
                                    size_t count); /* Dynamixel */
/* Of each servo its own bytes: address and size of each are arguments. Dynamixel. */
tl_bus_status tl_bus_bulk_read(tl_bus *bus, tl_bus_servo *const *servos, size_t count);

/* bytes: n of each servo, in the order of ids. No answers. */
tl_bus_status tl_bus_sync_write(tl_bus *bus, uint16_t address, uint8_t n, const uint8_t *ids, const uint8_t *bytes,
                                size_t count);

/* Torque off for every servo of the bus, named or not: no answer is awaited, none can prevent it. */
tl_bus_status tl_bus_torque_off(tl_bus *bus);

/* Reads the same bytes of all servos, so that a dead one costs little: servos that did not answer go last; after three
 * misses a servo is asked only each 16th time. Servos behind one that did not answer, which may have waited for it, are
 * asked again without it. Families without sync read are asked one by one. cycle counts the calls. TL_BUS_OK: each
 * servo that was asked has answered. */
tl_bus_status tl_bus_poll(tl_bus *bus, uint16_t address, uint8_t n, bool fast, tl_bus_servo *servos, size_t count,
                          uint32_t cycle);

/* Time on the wire of so many bytes, us, rounded up. */
uint64_t tl_bus_wire_us(const tl_bus *bus, size_t bytes);

#ifdef __cplusplus
}
#endif
