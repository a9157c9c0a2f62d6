/* An analogue sensor and a heater: observation temperature, actuator power.
 *
 *     pin A0   TMP36: 10 mV per degree, 0.5 V at 0 degrees
 *     pin 3    PWM of the heater's transistor
 *
 * The device goes safe by itself above 80 degrees, whatever the host does. */
#include <TickLink.h>

const uint8_t PIN_HEATER = 3;

static const TL_IN_FLASH tl_plant_row rows[] = {
    {"temperature", "C", -50.0f, 450.0f, TL_SAFE_NONE, 0.0f},
    {"power", "1", 0.0f, 1.0f, TL_SAFE_OFF, 0.0f},
};
static const TL_IN_FLASH uint8_t roles[] = {TL_ROW_TEMPERATURE};
static const TL_IN_FLASH tl_sheet_limit limits[] = {{0, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, -40.0f, 80.0f, 0.0f}}};

static void reset(void *state, uint32_t) { tl_episode_begin(static_cast<tl_plant_episode *>(state), 0); }

static void apply(void *, const float *u, bool) { analogWrite(PIN_HEATER, static_cast<int>(u[0] * 255.0f)); }

static tl_plant_result step(void *state, const float *) {
  return tl_episode_count(static_cast<tl_plant_episode *>(state), 0.0f, false);
}

/* Mean of 16 readings of 0.1 ms. */
static void observe(const void *, float *x) {
  uint16_t sum = 0;
  for (uint8_t i = 0; i < 16; i++) sum += analogRead(A0);
  x[0] = sum * (500.0f / (16.0f * 1023.0f)) - 50.0f;
}

static tl_plant_sheet sheet;
static tl_plant plant;
static TickLink device;

void setup() {
  pinMode(PIN_HEATER, OUTPUT);
  Serial.begin(500000);

  sheet.name = "heater";
  sheet.period_us = 100000;
  sheet.observation_size = 1;
  sheet.action_size = 1;
  sheet.rows = rows;
  sheet.roles = roles;
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

void loop() { device.update(); }
