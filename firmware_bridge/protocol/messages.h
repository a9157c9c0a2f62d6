/* RTU-Link v1 messages: what the payloads mean. Offsets in bytes, little-endian, packed by shifts.
 *
 * For each message X:
 *   void rtu_X_pack(const rtu_X *, rtu_frame *)     writes type, flags, size and payload; seq and t_us are the sender's
 * to set. Counts beyond their limit are the caller's bug: they are cut to the limit. bool rtu_X_unpack(const rtu_frame
 * *, rtu_X *)   false when the type, the size or a count does not fit; *X is then untouched. Values are not judged
 * here: a float may be a NaN, a session 0. DISARM, CLEAR_FAULT and ESTOP have no payload: rtu_empty_pack(type, frame).
 */
#ifndef RTU_PROTOCOL_MESSAGES_H
#define RTU_PROTOCOL_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "firmware_bridge/protocol/frame.h"
#include "firmware_bridge/protocol/safe.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RTU_PROTO_VERSION = 1 };

/* frame.type */
enum {
    RTU_TYPE_HELLO = 0x01,
    RTU_TYPE_PING = 0x02,
    RTU_TYPE_PONG = 0x03,
    RTU_TYPE_DESCRIBE = 0x04,
    RTU_TYPE_ROW = 0x05,
    RTU_TYPE_CMD = 0x10,
    RTU_TYPE_ARM = 0x11,
    RTU_TYPE_DISARM = 0x12,
    RTU_TYPE_CLEAR_FAULT = 0x13,
    RTU_TYPE_ACK = 0x14,
    RTU_TYPE_RESET = 0x15,
    RTU_TYPE_STATE = 0x20,
    RTU_TYPE_EVENT = 0x21,
    RTU_TYPE_PARAM = 0x30,
    RTU_TYPE_LOG = 0x31,
    RTU_TYPE_ESTOP = 0x7F
};

/* hello.role */
enum { RTU_ROLE_HOST = 0, RTU_ROLE_DEVICE = 1 };

/* hello.caps */
enum {
    RTU_CAP_SIMULATED = 1, /* no actuator moves anything real */
    RTU_CAP_LOCKSTEP = 2,  /* can step in virtual time */
    RTU_CAP_REWARD = 4,    /* STATE carries the reward */
    RTU_CAP_RESET = 8      /* episodes can be begun by RESET */
};

/* state.state */
enum {
    RTU_STATE_BOOT = 0,
    RTU_STATE_DISARMED = 1,
    RTU_STATE_ARMED = 2,
    RTU_STATE_SAFE = 3,
    RTU_STATE_ESTOP = 4,
    RTU_STATE_RESETTING = 5,
    RTU_STATE_COUNT = 6
};

/* state.epflags */
enum {
    RTU_EPISODE_FIRST = 1,      /* first observation of its episode */
    RTU_EPISODE_TERMINATED = 2, /* last one; the task is over */
    RTU_EPISODE_TRUNCATED = 4,  /* last one; the time is over */
    RTU_EPISODE_REWARD = 8      /* reward is that of the transition into this observation */
};

/* state.fault: why the device is not armed. 0 while it is. */
enum {
    RTU_FAULT_SILENCE = 1, /* no fresh command in time */
    RTU_FAULT_ESTOP = 2,   /* ESTOP was received */
    RTU_FAULT_SENSOR = 4   /* an observation was not finite */
};

/* ack.status and event.status */
enum {
    RTU_STATUS_OK = 0,
    RTU_STATUS_INVALID = 1, /* payload of the wrong size or with an impossible count */
    RTU_STATUS_STATE = 2,   /* not in this state */
    RTU_STATUS_LATCHED = 3, /* ESTOP is latched: CLEAR_FAULT first */
    RTU_STATUS_BUSY = 4,    /* a session holds the device, or a reset is going on */
    RTU_STATUS_SESSION =
        5, /* ARM: the number is 0 or not above all used since boot; CMD, RESET: not the session that holds */
    RTU_STATUS_UNSUPPORTED = 6, /* the device cannot do that */
    RTU_STATUS_EPISODE = 7, /* RESET: not a newer episode; CMD: answers an older episode, or the episode has ended */
    RTU_STATUS_MODE = 8,    /* CMD: lockstep flag unlike the session's, or an unknown mode */
    RTU_STATUS_SEQ = 9,     /* CMD: not newer than the last one */
    RTU_STATUS_STALE = 10,  /* CMD: answers an observation that is too old; in lockstep, any but the last one */
    RTU_STATUS_VALUE = 11   /* CMD: a value is not finite */
};

/* event.code */
enum {
    RTU_EVENT_REFUSED = 1, /* a command was refused: status, seq; count of all refused since boot */
    RTU_EVENT_OVERRUN = 2, /* the device's tick came late: count of periods skipped since boot */
    RTU_EVENT_DAMAGED = 3  /* frames arrived damaged: count since boot */
};

/* cmd.mode */
enum { RTU_MODE_VALUE = 0 }; /* u in the units of the ROWs */

enum {
    RTU_VALUES_MAX = 55, /* n + m of a STATE; n of a CMD */
    RTU_NAME_MAX = 24,
    RTU_UNIT_MAX = 12,
    RTU_LOG_MAX = RTU_PAYLOAD_MAX - 1,
    RTU_AGE_NONE = 0xFFFF /* state.cmd_age_ms: no command since ARM, or 65.535 s and more ago */
};

/* 01 HELLO, 28 bytes. Never changes between versions, except that later ones may append. From a host: a request. */
typedef struct {
    uint8_t proto_ver;     /*  0 */
    uint8_t role;          /*  1  RTU_ROLE_* */
    uint16_t caps;         /*  2  RTU_CAP_* */
    uint32_t boot_id;      /*  4  another one after each restart */
    uint32_t schema_hash;  /*  8  schema.h */
    uint32_t period_us;    /* 12 */
    uint16_t ttl_max_ms;   /* 16  the device caps cmd.ttl_ms at this */
    uint8_t n_obs;         /* 18 */
    uint8_t n_act;         /* 19 */
    uint8_t fw_major;      /* 20 */
    uint8_t fw_minor;      /* 21 */
    uint16_t fw_patch;     /* 22 */
    uint32_t last_session; /* 24  highest session number used since boot; ARM needs a higher one */
} rtu_hello;

/* 02 PING, 8 bytes; 03 PONG, 24 bytes. */
typedef struct {
    uint64_t t0_us; /* 0  the host's clock as it sent */
} rtu_ping;
typedef struct {
    uint64_t t0_us; /*  0  copied from PING */
    uint64_t t1_us; /*  8  the device's clock as PING arrived */
    uint64_t t2_us; /* 16  the device's clock as it answered */
} rtu_pong;

/* 04 DESCRIBE, 1 byte: asks for a ROW. Observations first, then actuators. */
typedef struct {
    uint8_t index; /* 0  0 to n_obs + n_act - 1 */
} rtu_describe;

/* 05 ROW, 56 bytes: one observation or actuator. Text is ASCII 21 to 7E, padded with 00 to its field. */
typedef struct {
    uint8_t index;               /*  0 */
    uint8_t actuator;            /*  1  0 observation, 1 actuator */
    uint8_t safe;                /*  2  RTU_SAFE_*; RTU_SAFE_NONE for an observation */
                                 /*  3  reserved, 0 */
    float min, max;              /*  4, 8  may be infinite for an observation */
    float slew;                  /* 12  largest change per period; +inf: no limit; 0 for an observation */
    float safe_value;            /* 16 */
    char name[RTU_NAME_MAX + 1]; /* 20  24 bytes on the wire; ends with 0 here */
    char unit[RTU_UNIT_MAX + 1]; /* 44  12 bytes on the wire */
} rtu_row;

/* 10 CMD, 12 + 4 n bytes. */
typedef struct {
    bool lockstep;           /* header flag RTU_FLAG_LOCKSTEP */
    uint32_t session;        /*  0 */
    uint32_t obs_t_us;       /*  4  t_us of the STATE this answers */
    uint16_t ttl_ms;         /*  8 */
    uint8_t mode;            /* 10  RTU_MODE_* */
    uint8_t n;               /* 11 */
    float u[RTU_VALUES_MAX]; /* 12  u[n] */
} rtu_cmd;

/* 11 ARM, 4 bytes. */
typedef struct {
    bool lockstep;    /* header flag RTU_FLAG_LOCKSTEP */
    uint32_t session; /* 0 */
} rtu_arm;

/* 14 ACK, 4 bytes: the answer to ARM, DISARM, CLEAR_FAULT, RESET, and to a DESCRIBE or PARAM that cannot be answered.
 */
typedef struct {
    uint8_t type;   /* 0  of the frame that is answered */
    uint8_t status; /* 1  RTU_STATUS_* */
    uint16_t seq;   /* 2  of the frame that is answered */
} rtu_ack;

/* 15 RESET, 12 bytes. */
typedef struct {
    uint32_t session; /* 0 */
    uint16_t episode; /* 4  number of the episode to begin */
                      /* 6  reserved, 2 bytes, 0 */
    uint32_t seed;    /* 8  a simulated machine draws its start from this alone */
} rtu_reset;

/* 20 STATE, 16 + 4 (n + m) bytes. */
typedef struct {
    uint16_t last_cmd_seq;   /*  0  of the last command accepted; right after ARM that of ARM */
    uint16_t cmd_age_ms;     /*  2  since that command was accepted, saturating; RTU_AGE_NONE */
    uint16_t fault;          /*  4  RTU_FAULT_* */
    uint16_t episode;        /*  6 */
    uint8_t state;           /*  8  RTU_STATE_* */
    uint8_t epflags;         /*  9  RTU_EPISODE_* */
    uint8_t n;               /* 10  observations */
    uint8_t m;               /* 11  actuators; n + m <= RTU_VALUES_MAX */
    float reward;            /* 12 */
    float x[RTU_VALUES_MAX]; /* 16  x[n] */
    float u[RTU_VALUES_MAX]; /* 16 + 4 n  u[m], as applied */
} rtu_state;

/* 21 EVENT, 8 bytes. */
typedef struct {
    uint8_t code;   /* 0  RTU_EVENT_* */
    uint8_t status; /* 1  RTU_STATUS_* */
    uint16_t seq;   /* 2 */
    uint32_t count; /* 4 */
} rtu_event;

/* Numbers that PARAM reads, by index: counted by the device since its boot. */
enum {
    RTU_COUNTER_TICKS,   /* periods that ran; in lockstep: commands obeyed */
    RTU_COUNTER_SKIPPED, /* periods that were skipped because the tick came late */
    RTU_COUNTER_FRAMES,  /* good frames received */
    RTU_COUNTER_CRC_ERRORS,
    RTU_COUNTER_GARBLED,
    RTU_COUNTER_OVERLONG,
    RTU_COUNTER_ACCEPTED, /* commands */
    RTU_COUNTER_REPEATED, /* lockstep: the same command again, answered from the cache */
    RTU_COUNTER_REFUSED,  /* commands */
    RTU_COUNTER_CLAMPED,  /* values changed by range or slew */
    RTU_COUNTER_SILENCES, /* times the device went safe for want of a fresh command */
    RTU_COUNTER_UNKNOWN,  /* good frames of an unknown type or of the wrong size */
    RTU_COUNTER_COUNT
};

/* 30 PARAM, 8 bytes: reads or writes one number; the device answers with PARAM (RTU_PARAM_IS) or ACK. */
enum { RTU_PARAM_READ = 0, RTU_PARAM_WRITE = 1, RTU_PARAM_IS = 2 };
enum { RTU_PARAM_U32 = 0, RTU_PARAM_F32 = 1 };
typedef struct {
    uint16_t index; /* 0  RTU_COUNTER_* */
    uint8_t op;     /* 2  RTU_PARAM_READ, _WRITE, _IS */
    uint8_t kind;   /* 3  RTU_PARAM_U32, _F32: how to read bits */
    uint32_t bits;  /* 4 */
} rtu_param;

/* 31 LOG, 1 + length bytes: a line of text for people. */
typedef struct {
    uint8_t level;          /* 0  as syslog: 3 error, 4 warning, 6 info, 7 debug */
    uint8_t length;         /*    that of text; not on the wire */
    char text[RTU_LOG_MAX]; /* 1  not terminated */
} rtu_log;

void rtu_hello_pack(const rtu_hello *hello, rtu_frame *frame);
bool rtu_hello_unpack(const rtu_frame *frame,
                      rtu_hello *hello); /* true also for a longer payload: later versions append */
void rtu_ping_pack(const rtu_ping *ping, rtu_frame *frame);
bool rtu_ping_unpack(const rtu_frame *frame, rtu_ping *ping);
void rtu_pong_pack(const rtu_pong *pong, rtu_frame *frame);
bool rtu_pong_unpack(const rtu_frame *frame, rtu_pong *pong);
void rtu_describe_pack(const rtu_describe *describe, rtu_frame *frame);
bool rtu_describe_unpack(const rtu_frame *frame, rtu_describe *describe);
void rtu_row_pack(const rtu_row *row, rtu_frame *frame);
bool rtu_row_unpack(const rtu_frame *frame, rtu_row *row); /* false also for text that is empty or not plain */
void rtu_cmd_pack(const rtu_cmd *cmd, rtu_frame *frame);
bool rtu_cmd_unpack(const rtu_frame *frame, rtu_cmd *cmd);
void rtu_arm_pack(const rtu_arm *arm, rtu_frame *frame);
bool rtu_arm_unpack(const rtu_frame *frame, rtu_arm *arm);
void rtu_ack_pack(const rtu_ack *ack, rtu_frame *frame);
bool rtu_ack_unpack(const rtu_frame *frame, rtu_ack *ack);
void rtu_reset_pack(const rtu_reset *reset, rtu_frame *frame);
bool rtu_reset_unpack(const rtu_frame *frame, rtu_reset *reset);
void rtu_state_pack(const rtu_state *state, rtu_frame *frame);
bool rtu_state_unpack(const rtu_frame *frame, rtu_state *state);
void rtu_event_pack(const rtu_event *event, rtu_frame *frame);
bool rtu_event_unpack(const rtu_frame *frame, rtu_event *event);
void rtu_param_pack(const rtu_param *param, rtu_frame *frame);
bool rtu_param_unpack(const rtu_frame *frame, rtu_param *param);
void rtu_log_pack(const rtu_log *log, rtu_frame *frame);
bool rtu_log_unpack(const rtu_frame *frame, rtu_log *log);

/* DISARM, CLEAR_FAULT, ESTOP: the type alone. */
void rtu_empty_pack(uint8_t type, rtu_frame *frame);
bool rtu_empty_unpack(const rtu_frame *frame, uint8_t type);

#ifdef __cplusplus
}
#endif

#endif
