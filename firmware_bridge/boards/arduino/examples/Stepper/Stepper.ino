/* A stepper motor behind a driver with step and direction inputs: observation position, actuator speed.
 *
 *     pin 4   step, one rising edge a step
 *     pin 5   direction, high forward
 *     pin 6   enable, active low
 *
 * Steps are made in loop(); without a host the motor stops at once and keeps its torque. */
#include <TickLink.h>

const uint8_t PIN_STEP = 4, PIN_DIRECTION = 5, PIN_ENABLE = 6;
const uint32_t LATE_US = 5000; /* later than this, steps are left out */
const float RAD_PER_STEP = 6.2831853f / 3200.0f; /* 200 steps, 16 microsteps */

static const TL_IN_FLASH tl_plant_row rows[] = {
    {"position", "rad", -100.0f, 100.0f, TL_SAFE_NONE, 0.0f},
    {"speed", "rad/s", -10.0f, 10.0f, TL_SAFE_OFF, 0.0f},
};
/* The device itself lets no command drive further out than 6 turns. */
static const TL_IN_FLASH tl_sheet_limit limits[] = {{0, {TL_LIMIT_DIRECTION, 0, 1, -37.7f, 37.7f, 0.0f}}};

static int32_t position_steps;
static int32_t interval_us; /* between steps, negative backward; 0: none */
static uint32_t last_step_us;

static void reset(void *state, uint32_t) { tl_episode_begin(static_cast<tl_plant_episode *>(state), 0); }

static void apply(void *, const float *u, bool) {
  const float steps_per_s = u[0] / RAD_PER_STEP;
  interval_us = steps_per_s > -1.0f && steps_per_s < 1.0f ? 0 : static_cast<int32_t>(1.0e6f / steps_per_s);
}

static tl_plant_result step(void *state, const float *) {
  return tl_episode_count(static_cast<tl_plant_episode *>(state), 0.0f, false);
}

static void observe(const void *, float *x) { x[0] = position_steps * RAD_PER_STEP; }

/* A step that comes late does not delay those after it, so that the speed is the one commanded. */
static void make_steps() {
  const uint32_t now_us = micros(), every_us = interval_us < 0 ? -interval_us : interval_us;
  if (interval_us == 0 || now_us - last_step_us > LATE_US + every_us) last_step_us = now_us;
  if (now_us - last_step_us < every_us || interval_us == 0) return;
  last_step_us += every_us;
  digitalWrite(PIN_DIRECTION, interval_us > 0);
  digitalWrite(PIN_STEP, HIGH);
  position_steps += interval_us > 0 ? 1 : -1;
  digitalWrite(PIN_STEP, LOW);
}

static tl_plant_sheet sheet;
static tl_plant plant;
static TickLink device;

void setup() {
  pinMode(PIN_STEP, OUTPUT);
  pinMode(PIN_DIRECTION, OUTPUT);
  pinMode(PIN_ENABLE, OUTPUT);
  Serial.begin(500000);

  sheet.name = "stepper";
  sheet.period_us = 20000;
  sheet.observation_size = 1;
  sheet.action_size = 1;
  sheet.rows = rows;
  sheet.limits = limits;
  sheet.n_limits = 1;
  plant.sheet = &sheet;
  plant.reset = reset;
  plant.step = step;
  plant.observe = observe;
  plant.apply = apply;
  plant.state_bytes = sizeof(tl_plant_episode);
  device.begin(plant, Serial);
}

void loop() {
  device.update();
  make_steps();
}
