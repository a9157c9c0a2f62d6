/* A hobby servo on PWM, and a potentiometer on its horn: observations position and supply, actuator command.
 *
 *     pin 9    signal of the servo, 50 Hz, 0.5 to 2.5 ms: timer 1 of an AVR, the library Servo on other boards
 *     pin A0   potentiometer, 0 to 5 V over 270 degrees
 *     pin A1   supply of the servo, by a divider of 2
 *
 * Without a host the servo holds its last command. */
#include <TickLink.h>

#ifndef __AVR__
#include <Servo.h>
#endif

static const TL_IN_FLASH tl_plant_row rows[] = {
    {"position", "rad", -2.4f, 2.4f, TL_SAFE_NONE, 0.0f},
    {"supply", "V", 0.0f, 10.0f, TL_SAFE_NONE, 0.0f},
    {"command", "rad", -0.8f, 0.8f, TL_SAFE_HOLD, 0.0f},
};

#ifdef __AVR__
/* Timer 1, clock / 8: one count is 0.5 us. */
static void write_pulse(int us) { OCR1A = 2 * us; }

static void start_pulses() {
  pinMode(9, OUTPUT);
  ICR1 = 39999; /* 20 ms */
  write_pulse(1500);
  TCCR1A = _BV(COM1A1) | _BV(WGM11);
  TCCR1B = _BV(WGM13) | _BV(WGM12) | _BV(CS11);
}
#else
static Servo servo;

static void write_pulse(int us) { servo.writeMicroseconds(us); }

static void start_pulses() {
  servo.attach(9);
  write_pulse(1500);
}
#endif

static void reset(void *state, uint32_t) { tl_episode_begin(static_cast<tl_plant_episode *>(state), 0); }

static void apply(void *, const float *u, bool) { write_pulse(1500 + static_cast<int>(u[0] * 625.0f)); }

static tl_plant_result step(void *state, const float *) {
  return tl_episode_count(static_cast<tl_plant_episode *>(state), 0.0f, false);
}

static void observe(const void *, float *x) {
  x[0] = (analogRead(A0) - 511.5f) * (4.712389f / 1023.0f);
  x[1] = analogRead(A1) * (10.0f / 1023.0f);
}

static tl_plant_sheet sheet;
static tl_plant plant;
static TickLink device;

void setup() {
  Serial.begin(500000);
  start_pulses();

  sheet.name = "servo-pwm";
  sheet.period_us = 20000;
  sheet.observation_size = 2;
  sheet.action_size = 1;
  sheet.rows = rows;
  plant.sheet = &sheet;
  plant.reset = reset;
  plant.step = step;
  plant.observe = observe;
  plant.apply = apply;
  plant.state_bytes = sizeof(tl_plant_episode);
  device.begin(plant, Serial);
}

void loop() { device.update(); }
