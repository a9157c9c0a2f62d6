/* A DC motor with a quadrature encoder follows a target angle that jumps: observations theta and target, actuator
 * voltage.
 *
 *     pins 2, 3   encoder A and B (interrupts)
 *     pin 9       PWM of the motor bridge
 *     pins 7, 8   direction: 7 forward, 8 backward, both low: the motor coasts
 *
 * The reward is that of the servo of rtu_edge: -((angle - target)^2 + 0.0001 voltage^2). */
#include <TickLink.h>

const uint8_t PIN_A = 2, PIN_B = 3, PIN_PWM = 9, PIN_FORWARD = 7, PIN_BACKWARD = 8;
const float SUPPLY_V = 10.0f, RAD_PER_COUNT = 6.2831853f / 400.0f; /* an encoder of 100 lines */
const uint32_t EPISODE = 500, TARGET_HOLD = 150;                     /* periods */

struct Motor {
  tl_plant_episode episode; /* first */
  uint32_t random;
  float target_rad;
  float voltage;
};

static const TL_IN_FLASH tl_plant_row rows[] = {
    {"theta", "rad", -2.6f, 2.6f, TL_SAFE_NONE, 0.0f},
    {"target", "rad", -1.5f, 1.5f, TL_SAFE_NONE, 0.0f},
    {"voltage", "V", -SUPPLY_V, SUPPLY_V, TL_SAFE_OFF, 0.0f},
};

static volatile int16_t count;

/* One edge of A or B: forward if A leads B. */
static void edge_a() { count += digitalRead(PIN_A) == digitalRead(PIN_B) ? -1 : 1; }
static void edge_b() { count += digitalRead(PIN_A) == digitalRead(PIN_B) ? 1 : -1; }

static float angle_rad() {
  noInterrupts();
  const int16_t now = count;
  interrupts();
  return now * RAD_PER_COUNT;
}

static void draw_target(Motor *motor) { motor->target_rad = tl_plant_uniform(&motor->random, -1.5f, 1.5f); }

static void reset(void *state, uint32_t seed) {
  Motor *motor = static_cast<Motor *>(state);
  tl_episode_begin(&motor->episode, EPISODE);
  motor->random = seed;
  draw_target(motor);
}

static void apply(void *state, const float *u, bool live) {
  const float voltage = u[0];
  digitalWrite(PIN_FORWARD, live && voltage > 0.0f);
  digitalWrite(PIN_BACKWARD, live && voltage < 0.0f);
  analogWrite(PIN_PWM, static_cast<int>((voltage < 0.0f ? -voltage : voltage) * (255.0f / SUPPLY_V)));
  static_cast<Motor *>(state)->voltage = voltage;
}

static tl_plant_result step(void *state, const float *) {
  Motor *motor = static_cast<Motor *>(state);
  if (tl_episode_over(&motor->episode)) return tl_episode_held(&motor->episode);
  const float error = angle_rad() - motor->target_rad;
  const float reward = -(error * error + 1.0e-4f * motor->voltage * motor->voltage);
  if ((motor->episode.step + 1) % TARGET_HOLD == 0) draw_target(motor);
  return tl_episode_count(&motor->episode, reward, false);
}

static void observe(const void *state, float *x) {
  x[0] = angle_rad();
  x[1] = static_cast<const Motor *>(state)->target_rad;
}

static tl_plant_sheet sheet;
static tl_plant plant;
static Motor motor;
static TickLink device;

void setup() {
  pinMode(PIN_A, INPUT_PULLUP);
  pinMode(PIN_B, INPUT_PULLUP);
  pinMode(PIN_FORWARD, OUTPUT);
  pinMode(PIN_BACKWARD, OUTPUT);
  attachInterrupt(digitalPinToInterrupt(PIN_A), edge_a, CHANGE);
  attachInterrupt(digitalPinToInterrupt(PIN_B), edge_b, CHANGE);
  Serial.begin(500000);

  sheet.name = "motor";
  sheet.period_us = 10000;
  sheet.observation_size = 2;
  sheet.action_size = 1;
  sheet.rows = rows;
  plant.sheet = &sheet;
  plant.reset = reset;
  plant.step = step;
  plant.observe = observe;
  plant.apply = apply;
  plant.state_bytes = sizeof motor;
  device.begin(plant, Serial, &motor, TL_CAP_RESET | TL_CAP_REWARD);
}

void loop() { device.update(); }
