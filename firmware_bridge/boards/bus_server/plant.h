/* A servo bus as a plant of the bridge: positions in, goals out, each joint with its own safe behaviour.
 *
 * Torque is enabled only by the first command of a session, at the position where the joint is. Without a command in
 * force a joint with the safe behaviour off loses its torque at once, and again in each period until its register
 * confirms it; hold and ramp keep the torque that they have, and never enable it. A servo that has not answered for
 * some periods, or that reports an alarm, gives an observation that is not finite, which ends the session. */
#pragma once

#include "firmware_bridge/bridge/bridge.h"
#include "firmware_bridge/bus/bus.h"

enum { TL_JOINTS_MAX = 18, TL_JOINT_NAME = 24, TL_WAVES_MAX = 4, TL_TARGET_RISE_US = 2000000, TL_JOINT_ROWS = 5 };

/* Of a target that moves by itself: amplitude sin(2 pi t / period + phase). */
typedef struct {
    float amplitude_rad, period_s, phase_rad;
} tl_wave;

/* What a goal is. */
typedef enum {
    TL_GOAL_POSITION, /* rad */
    TL_GOAL_SPEED,    /* rad/s; not SCS */
    TL_GOAL_CURRENT,  /* A; Dynamixel */
    TL_GOAL_TORQUE    /* share of the largest torque, by PWM; not SCS */
} tl_goal_kind;

typedef struct {
    char name[TL_JOINT_NAME]; /* of the actuator; the observations append _position and so on to it */
    uint8_t id;
    float zero_rad;   /* position of the servo where the joint is at 0 */
    float sign;       /* 1, or -1: the joint turns against the servo */
    float min, max;   /* of the goal; of a position the range of the joint */
    float slew;       /* largest change of the goal per period */
    uint8_t safe;     /* TL_SAFE_HOLD, TL_SAFE_RAMP, TL_SAFE_OFF */
    float safe_value; /* of the goal; 0 unless it is a position */
    float low_rad,
        high_rad; /* range of the joint, unless the goal is a position: outside, only back in is let through */
    uint8_t n_waves;
    tl_wave waves[TL_WAVES_MAX]; /* the target is their sum; none: no target */
} tl_joint;

typedef struct {
    uint32_t period_us;
    bool simulated;
    tl_goal_kind goal;
    bool fast; /* fast sync read */
    bool with_speed, with_load;
    uint8_t ignored;      /* alarm bits that do not end a session */
    uint8_t stale_cycles; /* periods without an answer that are tolerated */
    uint16_t watchdog_ms; /* of Bus Watchdog: at least the TTL; 0: none; Dynamixel */
    uint8_t count;
    tl_joint joints[TL_JOINTS_MAX];
} tl_bus_server_options;

typedef struct {
    tl_bus_server_options options;
    tl_bus *bus;
    tl_plant plant;
    tl_plant_sheet sheet;
    tl_plant_row rows[TL_JOINT_ROWS * TL_JOINTS_MAX + TL_JOINTS_MAX];
    uint8_t roles[TL_JOINT_ROWS * TL_JOINTS_MAX];
    tl_sheet_limit limits[TL_JOINTS_MAX];
    char names[TL_JOINT_ROWS * TL_JOINTS_MAX][TL_JOINT_NAME + 10];
    float slew[TL_JOINTS_MAX];
    tl_bus_servo servos[TL_JOINTS_MAX];
    uint8_t silent[TL_JOINTS_MAX]; /* periods without an answer */
    bool torque[TL_JOINTS_MAX];    /* as far as is known */
    bool releasing[TL_JOINTS_MAX]; /* torque off was written, and is not confirmed */
    float goals[TL_JOINTS_MAX];
    bool live;   /* a command is in force */
    bool alone;  /* since it is, no other program has been found that holds the port */
    bool failed; /* torque could not be enabled: no observation until commands end */
    bool gone;   /* the port is closed or unplugged */
    uint32_t cycle;
    uint64_t time_us; /* of the targets: since the first command of the session, 0 before it */
    bool (*held)(const int *fd, char *who, size_t size); /* another program holds the port; NULL: never */
    const int *fd;
    void (*begin_period)(void *self, uint32_t period_us); /* called first in each period; NULL: nothing to do */
    void (*restart)(void *self); /* emulated servos: back to where they began; NULL: a host homes the joints */
    void *servos_self;           /* of both */
    tl_bridge *bridge;           /* receives reasons as log lines, before the STATE that they explain; NULL: none yet */
    char reason[160];            /* why a session ended or could not begin; "": nothing new */
} tl_bus_server;

/* Reads where all joints are and prepares the data sheet. False: a servo does not answer, or the options do not fit
 * (see reason). bus and server must outlive the bridge. */
bool tl_bus_server_init(tl_bus_server *server, const tl_bus_server_options *options, tl_bus *bus);

/* config.limp. */
bool tl_bus_server_limp(const void *server, uint8_t i, float *u);

/* The number of TL_REG_MODE in which servos take such goals. */
uint8_t tl_bus_server_mode(const tl_servo_family *family, tl_goal_kind goal);

/* Where a joint's target is, rad: at 0 when the session begins, with its full amplitude after
 * TL_TARGET_RISE_US. 0 for a joint without one. */
float tl_joint_target(const tl_joint *joint, uint64_t time_us);

/* Whether a joint has a target: the reward is then minus the sum of the squared errors, rad^2. */
bool tl_bus_server_has_target(const tl_bus_server_options *options);
