/* What an actuator does when the device goes safe. One home for the numbers: the wire's ROW message and the plants'
 * data sheets both use them. */
#ifndef RTU_PROTOCOL_SAFE_H
#define RTU_PROTOCOL_SAFE_H

enum {
    RTU_SAFE_NONE = 0, /* not an actuator: the row of an observation */
    RTU_SAFE_HOLD = 1, /* keeps the last applied value */
    RTU_SAFE_DAMP = 2, /* brakes against motion, no drive */
    RTU_SAFE_RAMP = 3, /* moves to safe_value at the row's slew limit */
    RTU_SAFE_OFF = 4   /* safe_value at once; for a force, torque or voltage that is 0: unpowered */
};

#endif
