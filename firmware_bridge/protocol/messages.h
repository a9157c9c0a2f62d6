/* TickLink v2 messages: structure of the payloads. Offsets in bytes, little-endian, packed by shifts.
 *
 * For each message X:
 *   void tl_X_pack(const tl_X *, tl_frame *)     writes type, flags, size and payload; the sender sets seq and t_us.
 *                                                Counts beyond their limit (a bug of the caller) are cut to the limit.
 *   bool tl_X_unpack(const tl_frame *, tl_X *)   false when the type, the size or a count does not fit; *X is then
 *                                                unchanged. Values are not checked: a float may be NaN, a session 0.
 * DISARM, CLEAR_FAULT and ESTOP have no payload: tl_empty_pack(type, frame).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "firmware_bridge/protocol/frame.h"
#include "firmware_bridge/protocol/limit.h"
#include "firmware_bridge/protocol/safe.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_PROTO_VERSION = 2 }; /* 1 is answered too: docs/protocol_versions.md */

/* frame.type */
enum {
    TL_TYPE_HELLO = 0x01,
    TL_TYPE_PING = 0x02,
    TL_TYPE_PONG = 0x03,
    TL_TYPE_DESCRIBE = 0x04,
    TL_TYPE_ROW = 0x05,
    TL_TYPE_CMD = 0x10,
    TL_TYPE_ARM = 0x11,
    TL_TYPE_DISARM = 0x12,
    TL_TYPE_CLEAR_FAULT = 0x13,
    TL_TYPE_ACK = 0x14,
    TL_TYPE_RESET = 0x15,
    TL_TYPE_STATE = 0x20,
    TL_TYPE_EVENT = 0x21,
    TL_TYPE_PARAM = 0x30,
    TL_TYPE_LOG = 0x31,
    TL_TYPE_ESTOP = 0x7F
};

/* hello.role */
enum { TL_ROLE_HOST = 0, TL_ROLE_DEVICE = 1 };

/* hello.caps */
enum {
    TL_CAP_SIMULATED = 1, /* no real hardware moves */
    TL_CAP_LOCKSTEP = 2,  /* can step in virtual time */
    TL_CAP_REWARD = 4,    /* STATE carries the reward */
    TL_CAP_RESET = 8      /* RESET can start episodes */
};

/* state.state */
enum {
    TL_STATE_BOOT = 0,
    TL_STATE_DISARMED = 1,
    TL_STATE_ARMED = 2,
    TL_STATE_SAFE = 3,
    TL_STATE_ESTOP = 4,
    TL_STATE_RESETTING = 5,
    TL_STATE_COUNT = 6
};

/* state.epflags */
enum {
    TL_EPISODE_FIRST = 1,      /* first observation of its episode */
    TL_EPISODE_TERMINATED = 2, /* last observation; terminal state */
    TL_EPISODE_TRUNCATED = 4,  /* last observation; time limit reached */
    TL_EPISODE_REWARD = 8      /* reward is that of the transition into this observation */
};

/* state.fault: the reason why the device is not armed. 0 while it is armed. */
enum {
    TL_FAULT_SILENCE = 1, /* no fresh command in time */
    TL_FAULT_ESTOP = 2,   /* ESTOP was received */
    TL_FAULT_SENSOR = 4,  /* an observation was not finite */
    TL_FAULT_LIMIT = 8    /* an observation was outside a limit of the data sheet (TL_LIMIT_FAULT) */
};

/* ack.status and event.status */
enum {
    TL_STATUS_OK = 0,
    TL_STATUS_INVALID = 1, /* payload of the wrong size or with an impossible count */
    TL_STATUS_STATE = 2,   /* not in this state */
    TL_STATUS_LATCHED = 3, /* ESTOP is latched: CLEAR_FAULT first */
    TL_STATUS_BUSY = 4,    /* a session holds the device, or a reset is in progress */
    TL_STATUS_SESSION =
        5, /* ARM: the number is 0 or not above all used since boot; CMD, RESET: not the active session */
    TL_STATUS_UNSUPPORTED = 6, /* not supported by the device */
    TL_STATUS_EPISODE = 7,     /* RESET: not a newer episode; CMD: answers an older episode, or the episode has ended */
    TL_STATUS_MODE = 8,        /* CMD: lockstep flag differs from the session's, or unknown mode */
    TL_STATUS_SEQ = 9,         /* CMD: not newer than the last one */
    TL_STATUS_STALE = 10,      /* CMD: answers an observation that is too old; in lockstep, any but the last one */
    TL_STATUS_VALUE = 11,      /* CMD: a value is not finite */
    TL_STATUS_LIMIT = 12       /* ARM: an observation is outside a limit of the data sheet (TL_LIMIT_FAULT) */
};

/* event.code */
enum {
    TL_EVENT_REFUSED = 1, /* a command was refused: status, seq; count of all refused since boot */
    TL_EVENT_OVERRUN = 2, /* the device's tick came late: count of periods skipped since boot */
    TL_EVENT_DAMAGED = 3, /* frames arrived damaged: count since boot */
    TL_EVENT_LIMITED = 4  /* a limit of the data sheet begins to change outputs: seq is the observation's index; count
                             of periods in which outputs were changed since boot */
};

/* cmd.mode */
enum { TL_MODE_VALUE = 0 }; /* u in the units of the ROWs */

enum {
    TL_VALUES_MAX = TL_SIZE_VALUES, /* 55 in the protocol: n + m of a STATE; n of a CMD */
    TL_NAME_MAX = 24,
    TL_UNIT_MAX = 12,
    TL_ROW_LIMITS_MAX = TL_SIZE_ROW_LIMITS, /* 4 in the protocol */
    TL_LOG_MAX = TL_PAYLOAD_MAX - 1,
    TL_AGE_NONE = 0xFFFF /* state.cmd_age_ms: no command since ARM, or 65.535 s and more ago */
};

/* 01 HELLO, 28 bytes. Never changes between versions, except that later versions may append fields. From a host: a
 * request. */
typedef struct {
    uint8_t proto_ver;        /*  0 */
    uint8_t role;             /*  1  TL_ROLE_* */
    uint16_t caps;            /*  2  TL_CAP_* */
    uint32_t boot_id;         /*  4  another one after each restart */
    uint32_t schema_hash;     /*  8  schema.h */
    uint32_t period_us;       /* 12 */
    uint16_t ttl_max_ms;      /* 16  upper limit of cmd.ttl_ms */
    uint8_t observation_size; /* 18 */
    uint8_t action_size;      /* 19 */
    uint8_t fw_major;         /* 20 */
    uint8_t fw_minor;         /* 21 */
    uint16_t fw_patch;        /* 22 */
    uint32_t last_session;    /* 24  highest session number used since boot; ARM needs a higher one */
} tl_hello;

/* 02 PING, 8 bytes; 03 PONG, 24 bytes. */
typedef struct {
    uint64_t t0_us; /* 0  the host's clock as it sent */
} tl_ping;
typedef struct {
    uint64_t t0_us; /*  0  copied from PING */
    uint64_t t1_us; /*  8  the device's clock as PING arrived */
    uint64_t t2_us; /* 16  the device's clock as it answered */
} tl_pong;

/* 04 DESCRIBE, 1 byte (version 1) or 2: requests a ROW. Observations first, then actuators. */
typedef struct {
    uint8_t index;   /* 0  0 to observation_size + action_size - 1 */
    uint8_t version; /* 1  of the ROW, 2 or more; without this byte 1: its 56 bytes alone */
} tl_describe;

/* 05 ROW, 56 bytes: one observation or actuator. Text is ASCII 21 to 7E, padded with 00 to its field. From version 2 on
 * fields follow, each tag u8 (not 0), size u8, size bytes: TL_FIELD_*. A receiver skips a tag that it does not know,
 * and the bytes of a known one beyond those that it knows. */
enum {
    TL_FIELD_ROLE = 1, /* 1 byte: TL_ROW_* */
    TL_FIELD_LIMIT = 2 /* 16 bytes: 0 kind u8, 1 actuator u8, 2 sense i8, 3 reserved, 4 low, 8 high, 12 slope f32 */
};
typedef struct {
    uint8_t index;              /*  0 */
    uint8_t actuator;           /*  1  0 observation, 1 actuator */
    uint8_t safe;               /*  2  TL_SAFE_*; TL_SAFE_NONE for an observation */
                                /*  3  reserved, 0 */
    float min, max;             /*  4, 8  may be infinite for an observation */
    float slew;                 /* 12  largest change per period; +inf: no limit; 0 for an observation */
    float safe_value;           /* 16 */
    char name[TL_NAME_MAX + 1]; /* 20  24 bytes on the wire; ends with 0 here */
    char unit[TL_UNIT_MAX + 1]; /* 44  12 bytes on the wire */
    uint8_t role;               /* field TL_FIELD_ROLE */
    uint8_t n_limits;           /* number of fields TL_FIELD_LIMIT */
    tl_limit limits[TL_ROW_LIMITS_MAX];
} tl_row;

/* 10 CMD, 12 + 4 n bytes. */
typedef struct {
    bool lockstep;          /* header flag TL_FLAG_LOCKSTEP */
    uint32_t session;       /*  0 */
    uint32_t obs_t_us;      /*  4  t_us of the STATE this answers */
    uint16_t ttl_ms;        /*  8 */
    uint8_t mode;           /* 10  TL_MODE_* */
    uint8_t n;              /* 11 */
    float u[TL_VALUES_MAX]; /* 12  u[n] */
} tl_cmd;

/* 11 ARM, 4 bytes. */
typedef struct {
    bool lockstep;    /* header flag TL_FLAG_LOCKSTEP */
    uint32_t session; /* 0 */
} tl_arm;

/* 14 ACK, 4 bytes: the answer to ARM, DISARM, CLEAR_FAULT, RESET, and to a DESCRIBE or PARAM that cannot be answered.
 */
typedef struct {
    uint8_t type;   /* 0  of the frame that is answered */
    uint8_t status; /* 1  TL_STATUS_* */
    uint16_t seq;   /* 2  of the frame that is answered */
} tl_ack;

/* 15 RESET, 12 bytes. */
typedef struct {
    uint32_t session; /* 0 */
    uint16_t episode; /* 4  number of the episode to begin */
                      /* 6  reserved, 2 bytes, 0 */
    uint32_t seed;    /* 8  determines the start of a simulated plant */
} tl_reset;

/* 20 STATE, 16 + 4 (n + m) bytes. */
typedef struct {
    uint16_t last_cmd_seq;  /*  0  of the last command accepted; right after ARM that of ARM */
    uint16_t cmd_age_ms;    /*  2  since that command was accepted, saturating; TL_AGE_NONE */
    uint16_t fault;         /*  4  TL_FAULT_* */
    uint16_t episode;       /*  6 */
    uint8_t state;          /*  8  TL_STATE_* */
    uint8_t epflags;        /*  9  TL_EPISODE_* */
    uint8_t n;              /* 10  observations */
    uint8_t m;              /* 11  actuators; n + m <= TL_VALUES_MAX */
    float reward;           /* 12 */
    float x[TL_VALUES_MAX]; /* 16  x[n] */
    float u[TL_VALUES_MAX]; /* 16 + 4 n  u[m], as applied */
} tl_state;

/* 21 EVENT, 8 bytes. */
typedef struct {
    uint8_t code;   /* 0  TL_EVENT_* */
    uint8_t status; /* 1  TL_STATUS_* */
    uint16_t seq;   /* 2 */
    uint32_t count; /* 4 */
} tl_event;

/* Counters that PARAM reads, by index: counted by the device since its boot. */
enum {
    TL_COUNTER_TICKS,   /* periods that ran; in lockstep: commands executed */
    TL_COUNTER_SKIPPED, /* periods that were skipped because the tick came late */
    TL_COUNTER_FRAMES,  /* good frames received */
    TL_COUNTER_CRC_ERRORS,
    TL_COUNTER_GARBLED,
    TL_COUNTER_OVERLONG,
    TL_COUNTER_ACCEPTED, /* commands */
    TL_COUNTER_REPEATED, /* lockstep: the same command again, answered from the cache */
    TL_COUNTER_REFUSED,  /* commands */
    TL_COUNTER_CLAMPED,  /* values changed by range or slew */
    TL_COUNTER_SILENCES, /* number of times the device went safe without a fresh command */
    TL_COUNTER_UNKNOWN,  /* good frames of an unknown type or of the wrong size */
    TL_COUNTER_COUNT
};

/* 30 PARAM, 8 bytes: reads or writes one number; the device answers with PARAM (TL_PARAM_IS) or ACK. What can be
 * written: TL_PARAM_OBSERVATION + i of a simulated plant, for fault injection: kind F32 replaces what observation i
 * measures by bits, before the rules of the device see it; kind U32 ends that. */
enum { TL_PARAM_OBSERVATION = 0x1000 };
enum { TL_PARAM_READ = 0, TL_PARAM_WRITE = 1, TL_PARAM_IS = 2 };
enum { TL_PARAM_U32 = 0, TL_PARAM_F32 = 1 };
typedef struct {
    uint16_t index; /* 0  TL_COUNTER_* */
    uint8_t op;     /* 2  TL_PARAM_READ, _WRITE, _IS */
    uint8_t kind;   /* 3  TL_PARAM_U32, _F32: how to read bits */
    uint32_t bits;  /* 4 */
} tl_param;

/* 31 LOG, 1 + length bytes: a line of text for the operator. */
typedef struct {
    uint8_t level;         /* 0  as syslog: 3 error, 4 warning, 6 info, 7 debug */
    uint8_t length;        /*    that of text; not on the wire */
    char text[TL_LOG_MAX]; /* 1  not terminated */
} tl_log;

void tl_hello_pack(const tl_hello *hello, tl_frame *frame);
bool tl_hello_unpack(const tl_frame *frame,
                     tl_hello *hello); /* true also for a longer payload: later versions append */
void tl_ping_pack(const tl_ping *ping, tl_frame *frame);
bool tl_ping_unpack(const tl_frame *frame, tl_ping *ping);
void tl_pong_pack(const tl_pong *pong, tl_frame *frame);
bool tl_pong_unpack(const tl_frame *frame, tl_pong *pong);
void tl_describe_pack(const tl_describe *describe, tl_frame *frame);
bool tl_describe_unpack(const tl_frame *frame, tl_describe *describe);
void tl_row_pack(const tl_row *row, tl_frame *frame);
/* False also for text that is empty or not plain, fields that are cut short, and more than TL_ROW_LIMITS_MAX limits. */
bool tl_row_unpack(const tl_frame *frame, tl_row *row);
void tl_cmd_pack(const tl_cmd *cmd, tl_frame *frame);
bool tl_cmd_unpack(const tl_frame *frame, tl_cmd *cmd);
void tl_arm_pack(const tl_arm *arm, tl_frame *frame);
bool tl_arm_unpack(const tl_frame *frame, tl_arm *arm);
void tl_ack_pack(const tl_ack *ack, tl_frame *frame);
bool tl_ack_unpack(const tl_frame *frame, tl_ack *ack);
void tl_reset_pack(const tl_reset *reset, tl_frame *frame);
bool tl_reset_unpack(const tl_frame *frame, tl_reset *reset);
void tl_state_pack(const tl_state *state, tl_frame *frame);
bool tl_state_unpack(const tl_frame *frame, tl_state *state);
void tl_event_pack(const tl_event *event, tl_frame *frame);
bool tl_event_unpack(const tl_frame *frame, tl_event *event);
void tl_param_pack(const tl_param *param, tl_frame *frame);
bool tl_param_unpack(const tl_frame *frame, tl_param *param);
/* In two parts, without a second copy of the text: where its characters go, at most TL_LOG_MAX; the end of them. */
char *tl_log_begin(uint8_t level, tl_frame *frame);
void tl_log_end(const char *end, tl_frame *frame);
void tl_log_pack(const tl_log *log, tl_frame *frame);
bool tl_log_unpack(const tl_frame *frame, tl_log *log);

/* DISARM, CLEAR_FAULT, ESTOP: the type alone. */
void tl_empty_pack(uint8_t type, tl_frame *frame);
bool tl_empty_unpack(const tl_frame *frame, uint8_t type);

#ifdef __cplusplus
}
#endif
