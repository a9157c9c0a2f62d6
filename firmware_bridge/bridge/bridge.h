/* The device's side of TickLink: a safety state machine between an untrusted host and a plant.
 *
 * It runs only when called, and time is an argument. The code that owns the serial port and the clock calls
 *
 *     tl_bridge_receive(&bridge, bytes, n, now_us);     when bytes have arrived
 *     tl_bridge_tick(&bridge, now_us);                  at tl_bridge_due(&bridge), or more often
 *
 * and the bridge answers through config.send, one complete frame per call. It uses no heap, recursion, writable globals
 * or libm, and is not reentrant (a board with interrupts queues bytes and calls from one context).
 *
 * Its reaction to each event in each state is one table, tl_bridge_cell(); docs/protocol_device.md prints it and a test
 * walks it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/plants/plant.h"
#include "firmware_bridge/protocol/frame.h"
#include "firmware_bridge/protocol/messages.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TL_TTL_MAX_MS_DEFAULT = 200,
    TL_SILENCE_US_DEFAULT = 1000000 /* of the link, in real time */
};

typedef struct {
    /* The plant: a simulated one, or a board's own drivers behind the same four functions. The caller owns state, which
     * must outlive the bridge. Only the bridge calls plant->reset, step, observe and apply (plant.h describes when). */
    const tl_plant *plant;
    void *plant_state;
    /* True once the plant has reached the start of the episode with its actuators at rest; NULL: at once. Called after
     * step() in each period of RESETTING and at no other time: a real plant that moves to its start on its own does so
     * in this function, so that it stops with the session. Not called in lockstep. */
    bool (*reset_done)(void *plant_state);
    /* Whether actuator i holds nothing at the moment, such as a servo without torque, and then the output at which it
     * is: STATE reports that, and the first command moves on from there. Asked while no command is in force. NULL:
     * never. */
    bool (*limp)(const void *plant_state, uint8_t i, float *u);
    /* Largest change of each actuator per period, action_size values > 0, infinite for no limit; NULL: no limit. */
    const float *slew;
    uint32_t boot_id;    /* different after each restart */
    uint32_t seed;       /* start of episode 0, before any RESET */
    uint32_t silence_us; /* 0: TL_SILENCE_US_DEFAULT */
    uint16_t ttl_max_ms; /* 0: TL_TTL_MAX_MS_DEFAULT */
    uint16_t caps; /* TL_CAP_*; SIMULATED and LOCKSTEP are ignored unless the data sheet is of a simulated plant */
    uint8_t fw_major, fw_minor;
    uint16_t fw_patch;
    /* Sends n bytes, one complete frame. It may drop them (line full); it must not keep the pointer. */
    void (*send)(void *context, const uint8_t *bytes, size_t n);
    void *send_context;
} tl_bridge_config;

/* Events of the state machine: the columns of the table. */
enum {
    TL_ON_HELLO,
    TL_ON_PING,
    TL_ON_DESCRIBE,
    TL_ON_PARAM,
    TL_ON_CMD,
    TL_ON_ARM,
    TL_ON_DISARM,
    TL_ON_CLEAR_FAULT,
    TL_ON_RESET,
    TL_ON_ESTOP,
    TL_ON_OTHER,   /* a frame of any other type */
    TL_ON_TICK,    /* a period has passed; in lockstep: a new command has been accepted */
    TL_ON_EXPIRED, /* no fresh command in time */
    TL_ON_SENSOR,  /* the plant's observation is not finite */
    TL_ON_LIMIT,   /* an observation is outside a limit of the data sheet (TL_LIMIT_FAULT) */
    TL_ON_READY,   /* the plant has arrived at the start of an episode */
    TL_ON_COUNT
};

/* Actions of the bridge. After processing a call it sends the pending STATE. */
enum {
    TL_DO_NOTHING,
    TL_DO_SEND_HELLO,
    TL_DO_SEND_PONG,
    TL_DO_SEND_ROW,
    TL_DO_SEND_PARAM,
    TL_DO_COMMAND,     /* check the command; keep it for the next tick, in lockstep step at once */
    TL_DO_ARM,         /* check the session; open it; ACK; in lockstep STATE */
    TL_DO_ARM_AGAIN,   /* ACK OK if it is the same frame that armed and no command has arrived since, else ACK BUSY */
    TL_DO_DISARM,      /* close the session; ACK OK */
    TL_DO_ACK,         /* ACK OK: already the case */
    TL_DO_CLEAR,       /* clear the fault; ACK OK */
    TL_DO_RESET,       /* check session and episode; begin the reset; ACK. The same RESET again: ACK OK, no more */
    TL_DO_RESET_AGAIN, /* ACK OK if it is the frame of the current reset, else ACK BUSY */
    TL_DO_REFUSE,      /* EVENT or ACK with the cell's status */
    TL_DO_ESTOP,       /* close the session; store the fault; outputs to safe; STATE */
    TL_DO_REPEAT,      /* STATE */
    TL_DO_START,       /* HELLO, STATE */
    TL_DO_REST,        /* outputs on in their safe behaviour; step the plant; STATE */
    TL_DO_RUN,         /* outputs to the command, or to safe while there is none; step the plant; STATE */
    TL_DO_WAIT,        /* as REST, ignoring the plant's result; check for arrival; STATE, last observation */
    TL_DO_FIRST,       /* observe the start; STATE with FIRST */
    TL_DO_SAFE,        /* close the session; store the fault; outputs to safe */
    TL_DO_COUNT
};

/* One cell of the table: the action, the status if it refuses, and the next state if it succeeds. A refusing action
 * leaves the state unchanged. */
typedef struct {
    uint8_t action; /* TL_DO_* */
    uint8_t status; /* TL_STATUS_*, of TL_DO_REFUSE */
    uint8_t next;   /* TL_STATE_* */
} tl_bridge_rule;

/* Owned by the caller; readable at any time, never to be written. */
typedef struct {
    tl_bridge_config config;
    uint32_t schema_hash;
    uint32_t schema_hash_1; /* without roles and limits, for a host of version 1 */
    uint32_t ttl_max_us;

    uint8_t state;   /* TL_STATE_* */
    uint16_t fault;  /* TL_FAULT_* */
    uint16_t tx_seq; /* of the next frame sent */

    /* session */
    uint32_t session;      /* the active session; 0: none */
    uint32_t last_session; /* newest used since boot, 0: none */
    bool lockstep;
    bool commanded;   /* a command has been accepted since ARM */
    bool episodic;    /* a RESET has been accepted since ARM */
    uint16_t arm_seq; /* of the frame that armed: identify its repetition */
    uint32_t arm_t_us;
    uint16_t ack_seq; /* of the ACK to it, or to the RESET: lockstep repeats it byte for byte */
    uint32_t ack_t_us;
    uint16_t cmd_seq; /* of the last command accepted */
    uint64_t cmd_us;  /* when it was, on the session's clock */
    uint64_t life_us; /* last frame of the session, real time */

    /* the command in force */
    bool live;           /* a command is in force */
    uint64_t expires_us; /* it is fresh up to and including this moment */
    float target[TL_VALUES_MAX];

    /* episode */
    uint16_t episode;
    uint8_t epflags;
    uint32_t seed;      /* of its start */
    uint64_t first_us;  /* its start, on the session's clock: a command that answers an older STATE is refused */
    uint16_t reset_seq; /* of the RESET that began it */
    uint32_t reset_t_us;

    /* clocks */
    uint64_t due_us;     /* next tick, real time */
    uint64_t virtual_us; /* lockstep */

    /* plant */
    float applied[TL_VALUES_MAX]; /* the last values applied to the plant */
    bool ending; /* the episode has just ended: outputs pass to safe once STATE has reported what was applied */
    float x[TL_VALUES_MAX];
    float reward;
    float measured[TL_VALUES_MAX]; /* of this period, also where x repeats the last of an episode */
    float forced[TL_VALUES_MAX];   /* TL_PARAM_OBSERVATION, where is_forced */
    bool is_forced[TL_VALUES_MAX];
    uint8_t n_forced;
    bool released;      /* the brake */
    uint8_t limited_by; /* index + 1 of an observation whose limit has changed an output in this period; 0: none */
    uint32_t limited;   /* number of such periods */

    /* pending output */
    bool state_owed;
    uint8_t refused_status; /* TL_STATUS_OK: nothing to send */
    uint16_t refused_seq;
    uint32_t reported_damaged, reported_skipped;
    uint8_t reported_limited;

    uint32_t counters[TL_COUNTER_COUNT];
    tl_decoder rx;
#if TL_SIZE_LOCKSTEP
    size_t cached_size; /* lockstep: the last STATE, as sent; 0: none */
    uint8_t cached[TL_WIRE_MAX];
#endif
} tl_bridge;

/* Puts the bridge into BOOT and the plant at the start of episode 0; nothing is sent. The first tick, due at once,
 * sends HELLO. Returns false, and *bridge is unusable, when the data sheet does not fit the protocol: period 0,
 * observation_size or action_size 0 or together more than TL_VALUES_MAX, a row that tl_row_valid() refuses (its slew is
 * config.slew), a limit of a row that does not exist or that acts on an actuator whose range does not contain 0, a
 * plant without reset, step or observe, or no send function. */
bool tl_bridge_init(tl_bridge *bridge, const tl_bridge_config *config, uint64_t now_us);

/* Processes n bytes from the host, received at now_us, with any fragmentation. Expiry is checked first: bytes that were
 * queued while the caller slept are checked at the time of reading. */
void tl_bridge_receive(tl_bridge *bridge, const uint8_t *bytes, size_t n, uint64_t now_us);

/* Processes a CMD or RESET of a controller on this board as if it had come from the host: with the same checks,
 * answers, limits and timeouts. */
void tl_bridge_give(tl_bridge *bridge, const tl_frame *frame, uint64_t now_us);

/* Runs a period if one is due, at most one per call. Missed periods are skipped, counted and reported, never made up in
 * a burst. */
void tl_bridge_tick(tl_bridge *bridge, uint64_t now_us);

/* When the next tick is due. */
uint64_t tl_bridge_due(const tl_bridge *bridge);

/* Call before the last use, for example before a process ends, because the drivers keep the last command. Closes the
 * session and applies OFF and DAMP at once, by an additional step if the plant has no apply. RAMP advances with each
 * tick, so the caller continues to tick until tl_bridge_at_rest(). */
void tl_bridge_leave(tl_bridge *bridge);

/* A line of text for people, such as why a sensor fails: n bytes, of which TL_LOG_MAX are sent. level as in tl_log. */
void tl_bridge_log(tl_bridge *bridge, uint8_t level, const char *text, size_t n, uint64_t now_us);

/* True when no command is in force and another period would change no output. */
bool tl_bridge_at_rest(const tl_bridge *bridge);

/* The row that DESCRIBE(index) answers; false, *row untouched, beyond observation_size + action_size. */
bool tl_bridge_row(const tl_bridge_config *config, uint8_t index, tl_row *row);

/* The table. The caller guarantees state < TL_STATE_COUNT and on < TL_ON_COUNT. */
tl_bridge_rule tl_bridge_cell(uint8_t state, uint8_t on);

#ifdef __cplusplus
}
#endif
