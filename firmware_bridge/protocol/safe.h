/* Safe behaviour of an actuator. Defined once for the ROW message and the plants' data sheets. */
#pragma once

enum {
    TL_SAFE_NONE = 0, /* not an actuator: the row of an observation */
    TL_SAFE_HOLD = 1, /* keeps the last applied value */
    TL_SAFE_DAMP = 2, /* brakes against motion, no drive */
    TL_SAFE_RAMP = 3, /* moves to safe_value at the row's slew limit */
    TL_SAFE_OFF = 4   /* safe_value at once; for a force, torque or voltage that is 0: unpowered */
};
