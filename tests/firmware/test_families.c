/* Bit patterns of the machines' runs, the same on every host and at every optimisation level: hashes recorded once,
 * from this source, on x86-64. */
#include <stdio.h>
#include <string.h>

#include "firmware_bridge/plants/families/machine.h"
#include "firmware_bridge/plants/families/reference.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static uint64_t hash_bytes(uint64_t hash, const void* data, size_t size) {
  const unsigned char* bytes = data;
  for (size_t i = 0; i < size; ++i) { /* FNV-1a */
    hash = (hash ^ bytes[i]) * 0x100000001B3u;
  }
  return hash;
}

static int subnormal(float x) { return x != 0.0f && x < 1.1754944e-38f && x > -1.1754944e-38f; }

/* Three machines, 2000 steps each: commands from a generator, then none, so that states decay. Parameters,
 * observations, rewards and ends are hashed. A state or an observation that is not finite, or subnormal, gives 0. */
static uint64_t run(const tl_machine_kind* kind) {
  uint64_t hash = 0xCBF29CE484222325u;
  uint32_t lcg = 1u;
  for (uint32_t seed = 0; seed < 3; ++seed) {
    tl_machine machine;
    float x[TL_MACHINE_OBS_MAX], u[TL_MACHINE_ACT_MAX] = {0.0f, 0.0f};
    tl_machine_draw(&machine, kind, seed);
    hash = hash_bytes(hash, machine.parameters, kind->n_parameters * sizeof(float));
    for (uint32_t step = 0; step < 2000; ++step) {
      for (size_t j = 0; j < kind->action_size; ++j) {
        lcg = lcg * 1664525u + 1013904223u;
        u[j] = step < 1500 ? (float)(lcg >> 8) * 0x1p-23f - 1.0f : 0.0f;
      }
      const tl_plant_result result = tl_machine_step(&machine, u);
      const unsigned char ends = (unsigned char)((result.terminated ? 1 : 0) | (result.truncated ? 2 : 0));
      tl_machine_observe(&machine, x);
      hash = hash_bytes(hash, x, kind->observation_size * sizeof(float));
      hash = hash_bytes(hash_bytes(hash, &result.reward, sizeof(float)), &ends, 1);
      for (size_t i = 0; i < kind->state_size; ++i) {
        if (!(machine.state[i] - machine.state[i] == 0.0f) || subnormal(machine.state[i])) return 0u;
      }
      for (size_t i = 0; i < kind->observation_size; ++i) {
        if (!(x[i] - x[i] == 0.0f) || subnormal(x[i]) || subnormal(result.reward)) return 0u;
      }
      if (result.terminated || result.truncated) tl_machine_reset(&machine, step);
    }
  }
  return hash;
}

static int check(void) {
  static const struct {
    const char* name;
    uint64_t hash;
  } expected[] = {
      {"cartpole", 0x221786CE7586ED79u},
      {"pendulum-swing-up", 0x3AD6B2BEF3466A5Fu},
      {"cart", 0x9790B9230DC89FB8u},
      {"crane", 0x15B423FA0E11627Eu},
      {"servo-backlash", 0x91DA81677AC03E64u},
      {"asymmetric", 0x1FAA6440AAAD53F1u},
      {"hover", 0xB79EC87780A9BB78u},
      {"tank", 0x0297DD28093F8725u},
      {"oscillator-damp", 0xD8740B6E2981DB6Du},
      {"reacher", 0x33996CD35D67F7CDu},
      {"cartpole-wide", 0xEC5AA13D2051D1E2u},
      {"pendulum-hold", 0x198F6498D644EF1Fu},
      {"wheel-pendulum", 0x89EBECB580FE490Du},
      {"servo-load", 0xDAAE20D95C9BDE57u},
      {"dead-time", 0x36653D35040E25E6u},
      {"ball-beam", 0x5C881D085AC75299u},
      {"tanks", 0x26692921D55786BCu},
      {"oscillator-track", 0x76FC76A0F9F8DBB0u},
      {"chain", 0xFDD2C826849C9916u},
      {"arm", 0x3489747AD7823595u},
  };
  int failed = tl_machine_count() != sizeof expected / sizeof expected[0];
  for (size_t i = 0; i < tl_machine_count(); ++i) {
    const tl_machine_kind* kind = tl_machine_at(i);
    const uint64_t hash = run(kind);
    uint64_t wanted = 0u;
    for (size_t k = 0; k < sizeof expected / sizeof expected[0]; ++k) {
      if (strcmp(kind->name, expected[k].name) == 0) wanted = expected[k].hash;
    }
    if (hash != wanted || hash == 0u) {
      printf("{\"%s\", 0x%08lX%08lXu},\n", kind->name, (unsigned long)(hash >> 32),
             (unsigned long)(hash & 0xFFFFFFFFu));
      failed = 1;
    }
  }
  return failed;
}

/* Wild commands and wild parameters leave every state finite; a copy continues with the same bits; after the end of an
 * episode nothing moves. */
static int sturdy(void) {
  static const float wild[] = {1e30f, -1e30f, 0.0f / 1e-30f, 1.0f, -1.0f, 1.0f};
  int failed = 0;
  for (size_t k = 0; k < tl_machine_count(); ++k) {
    const tl_machine_kind* kind = tl_machine_at(k);
    int wrong = 0;
    for (int end = 0; end < 2; ++end) {
      tl_machine machine;
      tl_machine_draw(&machine, kind, 7u);
      for (size_t i = TL_MACHINE_OWN; i < kind->n_parameters; ++i) {
        const tl_machine_parameter* row = &kind->parameters[i];
        const float low = row->min > 0.0f ? 0.25f * row->min : 4.0f * row->min;
        const float high = row->max > 0.0f ? 4.0f * row->max : 0.0f;
        tl_machine_change(&machine, i, end == 0 ? low : high);
      }
      wrong |= tl_machine_change(&machine, kind->n_parameters, 1.0f) || tl_machine_change(&machine, 0, 1e30f);
      tl_machine_reset(&machine, 3u);
      for (int step = 0; step < 4000; ++step) {
        const float u[TL_MACHINE_ACT_MAX] = {wild[step / 40 % 6], wild[step / 56 % 6]};
        const tl_machine before = machine;
        tl_machine copy = machine;
        const tl_plant_result result = tl_machine_step(&machine, u);
        tl_machine_step(&copy, u);
        wrong |= memcmp(&copy, &machine, sizeof copy) != 0 || !(result.reward - result.reward == 0.0f);
        for (size_t i = 0; i < kind->state_size; ++i) wrong |= !(machine.state[i] - machine.state[i] == 0.0f);
        if (before.episode.terminated || before.episode.truncated) {
          wrong |= memcmp(&before, &machine, sizeof copy) != 0 || result.reward != 0.0f;
          tl_machine_reset(&machine, (uint32_t)step);
        }
      }
    }
    if (wrong) printf("%s is not sturdy\n", kind->name);
    failed |= wrong;
  }
  return failed;
}

int main(void) {
  int failed = check() | sturdy();
#ifdef __SSE2__
  _mm_setcsr(_mm_getcsr() | 0x8040u); /* flush to zero, denormals are zero: as in the control loop's thread */
  failed |= check();
#endif
  return failed;
}
