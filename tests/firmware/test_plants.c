/* Bit patterns of the plants' runs, the same on every host and at every optimisation level: hashes recorded once, from
 * this source, on x86-64. */
#include <stdio.h>
#include <string.h>

#include "firmware_bridge/plants/batch.h"
#include "firmware_bridge/plants/plant.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static uint64_t hash_float(uint64_t hash, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  for (int i = 0; i < 4; ++i) { /* FNV-1a */
    hash = (hash ^ ((bits >> (8 * i)) & 0xFFu)) * 0x100000001B3u;
  }
  return hash;
}

/* 20000 steps of a run whose actions follow from the observations, through many episodes. */
static uint64_t run(const tl_plant* plant) {
  tl_plant_state state;
  float x[TL_PLANT_OBS_MAX], u[TL_PLANT_ACT_MAX];
  uint64_t hash = 0xCBF29CE484222325u;
  uint32_t lcg = 1u, episode = 0u;
  const tl_plant_row* actuator = &plant->sheet->rows[plant->sheet->observation_size];
  plant->reset(&state, episode);
  for (int step = 0; step < 20000; ++step) {
    plant->observe(&state, x);
    for (int i = 0; i < plant->sheet->observation_size; ++i) {
      hash = hash_float(hash, x[i]);
    }
    lcg = lcg * 1664525u + 1013904223u;
    u[0] = actuator->max * (0.5f * (x[0] + 4.0f * x[1]) + ((float)(lcg >> 8) * 0x1p-23f - 1.0f));
    const tl_plant_result result = plant->step(&state, u);
    hash = hash_float(hash, result.reward);
    hash = hash_float(hash, (result.terminated ? 1.0f : 0.0f) + (result.truncated ? 2.0f : 0.0f));
    if (result.terminated || result.truncated) {
      plant->reset(&state, ++episode);
    }
  }
  return hash;
}

static int check(void) {
  static const struct {
    const char* name;
    uint64_t hash;
  } expected[] = {
      {"cartpole", 0x693166E03E04A56Cu}, {"cartpole-full", 0xA1356C11804C9FFDu},
      {"pendulum", 0x5009480FA93855F7u}, {"pendulum-full", 0xFF573A6C3B7696A3u},
      {"servo", 0x660ED0ADC3D40BDAu},    {"servo-full", 0xE461A182B6051472u},
      {"joint", 0xFD34007E2D2F7CA5u},
  };
  int failed = tl_plant_count() != sizeof expected / sizeof expected[0];
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; ++i) {
    const tl_plant* plant = tl_plant_find(expected[i].name);
    const uint64_t hash = plant != NULL ? run(plant) : 0u;
    if (hash != expected[i].hash) {
      printf("%s: 0x%08lX%08lX\n", expected[i].name, (unsigned long)(hash >> 32), (unsigned long)(hash & 0xFFFFFFFFu));
      failed = 1;
    }
  }
  return failed;
}

/* After the end of its episode a plant does not move, regardless of commands, which a device continues to send. A plant
 * that was never reset steps too, from zeroed memory, to finite numbers. */
static int still(void) {
  static const float wild[] = {0.0f, 1e30f, -1e30f, 3.0f};
  int failed = 0;
  for (size_t p = 0; p < tl_plant_count(); ++p) {
    const tl_plant* plant = tl_plant_at(p);
    tl_plant_state state, before;
    float x[TL_PLANT_OBS_MAX];
    memset(&state, 0, sizeof state);
    for (int i = 0; i < 3000; ++i) plant->step(&state, &wild[i % 4]);
    plant->observe(&state, x);
    for (int i = 0; i < plant->sheet->observation_size; ++i) failed |= !(x[i] - x[i] == 0.0f);
    plant->reset(&state, 1);
    tl_plant_limit(&state, 5);
    for (int i = 0; i < 5; ++i) plant->step(&state, &wild[3]);
    failed |= !state.episode.truncated || !plant->sheet->simulated || plant->apply != NULL;
    before = state;
    for (int i = 0; i < 100; ++i) {
      const tl_plant_result held = plant->step(&state, &wild[i % 4]);
      failed |= held.reward != 0.0f || !held.truncated;
    }
    failed |= memcmp(&before, &state, plant->state_bytes) != 0;
    if (failed) printf("%s does not stand still\n", plant->sheet->name);
  }
  return failed;
}

/* A batch, in blocks and a rest, gives the states of single plants to the bit, also of those whose episode is over. */
static int batch(void) {
  enum { N = 37 };
  static tl_plant_state singles[N];
  static uint32_t states[N * sizeof(tl_plant_state) / 4];
  static float u[N], x[N * TL_PLANT_OBS_MAX], reward[N], applied[N];
  static uint8_t terminated[N], truncated[N], stepped[N], was_reset[N];
  static int64_t seed[N];
  int failed = 0;
  for (size_t p = 0; p < tl_plant_count(); ++p) {
    const tl_plant* plant = tl_plant_at(p);
    tl_plant_batch many = {plant, N, 60, TL_AUTORESET_DISABLED, TL_ACTIONS_PHYSICAL, .states = states, .u = u, .x = x};
    uint32_t lcg = 1u;
    int differs = 0;
    memset(singles, 0, sizeof singles); /* padding is compared too */
    memset(states, 0, sizeof states);
    many.reward = reward, many.applied = applied, many.plant_seed = seed;
    many.terminated = terminated, many.truncated = truncated, many.stepped = stepped, many.was_reset = was_reset;
    for (int i = 0; i < N; ++i) {
      seed[i] = 7 * i;
      plant->reset(&singles[i], (uint32_t)seed[i]);
      tl_plant_limit(&singles[i], many.max_steps);
    }
    tl_plant_batch_reset(&many, NULL);
    for (int step = 0; step < 80; ++step) {
      for (int i = 0; i < N; ++i) {
        lcg = lcg * 1664525u + 1013904223u;
        u[i] = 12.0f * ((float)(lcg >> 8) * 0x1p-23f - 1.0f);
      }
      differs |= tl_plant_batch_step(&many) != 0;
      for (int i = 0; i < N; ++i) {
        const tl_plant_result alone = plant->step(&singles[i], &u[i]);
        differs |= memcmp(&singles[i], (char*)states + (size_t)i * plant->state_bytes, plant->state_bytes) != 0;
        differs |= alone.reward != reward[i] || alone.terminated != terminated[i] || alone.truncated != truncated[i];
      }
    }
    failed |= differs;
    if (differs) printf("%s differs in a batch\n", plant->sheet->name);
  }
  return failed;
}

int main(void) {
  int failed = check() | still() | batch();
#ifdef __SSE2__
  _mm_setcsr(_mm_getcsr() | 0x8040u); /* flush to zero, denormals are zero: as in the control loop's thread */
  failed |= check() | batch();
#endif
  return failed;
}
