/* The C interface, in C99: an agent in static memory learns, is saved, and resumes bit for bit; refused arguments. */
#define _POSIX_C_SOURCE 200809L
#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "native/bindings/c/rtu_edge.h"

#define MEMORY (96 * 1024)

static unsigned char memory_a[MEMORY] __attribute__((aligned(RTU_AGENT_ALIGNMENT)));
static unsigned char memory_b[MEMORY] __attribute__((aligned(RTU_AGENT_ALIGNMENT)));
static unsigned char checkpoint[MEMORY];

static rtu_agent_config small(void) {
  rtu_agent_config config;
  rtu_agent_config_init(&config);
  config.observation_size = 2;
  config.units = 9;
  config.hidden[0] = 7;
  config.seed = 5;
  return config;
}

static rtu_agent* made(const rtu_agent_config* config, unsigned char* memory) {
  rtu_agent* agent = NULL;
  CHECK(rtu_agent_init(config, memory, MEMORY, &agent) == RTU_OK);
  CHECK(agent != NULL);
  return agent;
}

static uint64_t hash_of(rtu_agent* agent) {
  uint64_t hash = 0;
  CHECK(rtu_agent_hash(agent, &hash) == RTU_OK);
  return hash;
}

static float run(rtu_agent* agent, int from, int to) {
  float action = 0;
  for (int i = from; i < to; ++i) {
    const float x[2] = {(float)(i % 7) - 3, (float)(i % 11) * 0.1f};
    if (i % 50 == 0) CHECK(rtu_agent_begin(agent) == RTU_OK);
    CHECK(rtu_agent_predict(agent, x, 1, &action) == RTU_OK);
    CHECK(rtu_agent_update(agent, x[0], i % 50 == 49, 0, NULL) == RTU_OK);
  }
  return action;
}

static void goes_on_to_the_bit(void) {
  const rtu_agent_config config = small();
  CHECK(rtu_agent_bytes(&config) > 0 && rtu_agent_bytes(&config) <= MEMORY);
  rtu_agent *a = made(&config, memory_a), *b = made(&config, memory_b);
  CHECK(rtu_agent_width(a) == 1);
  CHECK(rtu_agent_isa(a)[0] != 0);
  run(a, 0, 120);
  CHECK(hash_of(a) != hash_of(b));
  const size_t bytes = rtu_agent_checkpoint_bytes(a, 3);
  CHECK(bytes > 0 && bytes <= sizeof checkpoint);
  CHECK(rtu_agent_checkpoint_write(a, "abc", 3, checkpoint, bytes) == RTU_OK);
  CHECK(rtu_agent_checkpoint_read(b, checkpoint, bytes) == RTU_OK);
  CHECK(hash_of(a) == hash_of(b));
  CHECK(run(a, 120, 300) == run(b, 120, 300));
  CHECK(hash_of(a) == hash_of(b));
}

static void is_not_saved_when_it_is_not_finite(void) {
  rtu_agent_config config = small();
  config.normalize_observation = 0;
  rtu_agent* agent = made(&config, memory_a);
  run(agent, 0, 20);
  const size_t bytes = rtu_agent_checkpoint_bytes(agent, 0);
  const float x[2] = {FLT_MAX, 0};
  float action = 0;
  CHECK(rtu_agent_predict(agent, x, 1, &action) == RTU_OK);
  CHECK(rtu_agent_findings(agent) == 0);
  CHECK(rtu_agent_update(agent, 1, 0, 0, NULL) == RTU_OK);
  run(agent, 1, 3);
  CHECK(rtu_agent_findings(agent) == RTU_NOT_FINITE);
  memset(checkpoint, 0x5a, bytes);
  CHECK(rtu_agent_checkpoint_write(agent, NULL, 0, checkpoint, bytes) == RTU_BAD_VALUE);
  for (size_t i = 0; i < bytes; ++i) CHECK(checkpoint[i] == 0x5a);
}

#define REFUSED(change)                \
  do {                                 \
    rtu_agent_config bad = small();    \
    bad.change;                        \
    CHECK(rtu_agent_bytes(&bad) == 0); \
  } while (0)

static void refuses_configurations(void) {
  const rtu_agent_config config = small();
  const size_t bytes = rtu_agent_bytes(&config);
  rtu_agent* agent = NULL;
  CHECK(rtu_agent_init(&config, memory_a, bytes - 1, &agent) == RTU_BAD_ARGUMENT);
  CHECK(rtu_agent_init(&config, memory_a + 4, MEMORY - 4, &agent) == RTU_BAD_ARGUMENT);
  CHECK(agent == NULL);
  CHECK(rtu_agent_bytes(NULL) == 0);
  REFUSED(size = 4);
  REFUSED(observation_size = 0);
  REFUSED(observation_size = 1025);
  REFUSED(actions = 33);
  REFUSED(discrete = 1); /* of one action */
  REFUSED(units = 0);
  REFUSED(units_per_pole = 2); /* 9 units */
  REFUSED(layers = 5);
  REFUSED(hidden[0] = 0);
  REFUSED(cell = 6);
  REFUSED(activation = -1);
  REFUSED(optimizer = 7);
  REFUSED(gamma = (double)NAN);
  REFUSED(decay_head = 1.01);
  REFUSED(actor_kappa = 0);
  REFUSED(r_min = 1.0);
  REFUSED(max_phase = (double)INFINITY);
  REFUSED(isa = "no such");
}

static void refuses_calls(void) {
  const rtu_agent_config config = small();
  float action = 7;
  rtu_agent* agent = made(&config, memory_a);
  const float x[2] = {0, 1}, bad[2] = {0, NAN};
  CHECK(rtu_agent_predict(agent, x, 1, &action) == RTU_ORDER);
  CHECK(rtu_agent_update(agent, 0, 0, 0, NULL) == RTU_ORDER);
  CHECK(rtu_agent_begin(agent) == RTU_OK);
  const uint64_t before = hash_of(agent);
  CHECK(rtu_agent_predict(agent, bad, 1, &action) == RTU_NON_FINITE);
  CHECK(hash_of(agent) == before && action == 7);
  run(agent, 0, 30);
  CHECK(rtu_agent_predict(agent, x, 1, &action) == RTU_OK);
  CHECK(rtu_agent_update(agent, INFINITY, 0, 0, NULL) == RTU_NON_FINITE);
  CHECK(rtu_agent_update(agent, 0, 0, 0, &action) == RTU_OK);
}

static void refuses_checkpoints(void) {
  const rtu_agent_config config = small();
  rtu_agent* agent = made(&config, memory_a);
  CHECK(rtu_agent_begin(agent) == RTU_OK);
  run(agent, 0, 30);
  const size_t size = rtu_agent_checkpoint_bytes(agent, 0);
  CHECK(rtu_agent_checkpoint_write(agent, NULL, 0, checkpoint, size - 1) == RTU_BAD_ARGUMENT);
  CHECK(rtu_agent_checkpoint_write(agent, NULL, 0, checkpoint, size) == RTU_OK);
  const uint64_t now = hash_of(agent);
  CHECK(rtu_agent_checkpoint_read(agent, checkpoint, size - 1) < 0);
  for (size_t at = 0; at < size; at += 37) {
    checkpoint[at] ^= 0x10;
    CHECK(rtu_agent_checkpoint_read(agent, checkpoint, size) < 0);
    checkpoint[at] ^= 0x10;
  }
  CHECK(hash_of(agent) == now);

  rtu_agent_config other = small();
  other.checkpoints = 0;
  /* The table has a row of 80 bytes for each of about 60 arrays, not for the 398 of the largest layout: 32 KB. */
  const size_t table = rtu_agent_bytes(&config) - rtu_agent_bytes(&other);
  CHECK(table > 2000 && table < 8000);
  agent = made(&other, memory_b);
  uint64_t hash = 0;
  CHECK(rtu_agent_hash(agent, &hash) == RTU_BAD_ARGUMENT);
  CHECK(rtu_agent_checkpoint_bytes(agent, 0) == 0);
  CHECK(rtu_agent_checkpoint_read(agent, checkpoint, size) == RTU_BAD_ARGUMENT);
  other = small();
  other.hidden[0] = 8;
  CHECK(rtu_agent_checkpoint_read(made(&other, memory_b), checkpoint, size) == RTU_BAD_LAYOUT);
}

int main(void) {
  goes_on_to_the_bit();
  is_not_saved_when_it_is_not_finite();
  refuses_configurations();
  refuses_calls();
  refuses_checkpoints();
  return 0;
}
