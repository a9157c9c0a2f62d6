/* A control loop in C: a cart-pole whose velocities are not measured, learned from scratch. The agent is saved, loaded
 * into a second one, and that one drives without learning. Exit code 0: both kept the pole up, as with 96 of the first
 * 100 seeds. cartpole.cpp and rust/src/main.rs compute the same numbers. */
#include <math.h>
#include <rtu_edge.h>
#include <stdio.h>
#include <stdlib.h>

#define GOAL 200.0 /* steps of 20 ms per episode, of at most 500; before learning: about 40 */
#define EPISODE 500
#define TRAINING 100000 /* steps: 33 minutes on a real plant, a fifth of a second here */

typedef struct {
  float x, v, angle, rate; /* m, m/s, rad, rad/s */
  unsigned random;
  int steps;
} plant;

static float uniform(plant* p) { /* -0.05 to 0.05 */
  p->random = p->random * 1664525u + 1013904223u;
  return ((float)(p->random >> 8) / 16777216.0f - 0.5f) * 0.1f;
}

static void start(plant* p) {
  p->x = uniform(p);
  p->v = uniform(p);
  p->angle = uniform(p);
  p->rate = uniform(p);
  p->steps = 0;
}

static int advance(plant* p, float force) { /* N; returns 1 when the pole has fallen or the cart left its track */
  const float sine = sinf(p->angle), cosine = cosf(p->angle);
  const float push = (force + 0.05f * p->rate * p->rate * sine) / 1.1f;
  const float turn = (9.8f * sine - cosine * push) / (0.5f * (4.0f / 3.0f - 0.1f * cosine * cosine / 1.1f));
  p->x += 0.02f * p->v;
  p->v += 0.02f * (push - 0.05f * turn * cosine / 1.1f);
  p->angle += 0.02f * p->rate;
  p->rate += 0.02f * turn;
  p->steps += 1;
  return fabsf(p->x) > 2.4f || fabsf(p->angle) > 0.209f;
}

static void check(int32_t status, const char* what) {
  if (status == RTU_OK) return;
  fprintf(stderr, "%s: status %d\n", what, (int)status);
  exit(1);
}

static rtu_agent* create(const rtu_agent_config* config) { /* all of its memory, allocated once */
  const size_t bytes = rtu_agent_bytes(config);
  const size_t rounded = (bytes + RTU_AGENT_ALIGNMENT - 1) / RTU_AGENT_ALIGNMENT * RTU_AGENT_ALIGNMENT;
  rtu_agent* agent = NULL;
  check(rtu_agent_init(config, aligned_alloc(RTU_AGENT_ALIGNMENT, rounded), bytes, &agent), "init");
  return agent;
}

/* One control period: act on the newest observation, then learn from the transition that led to it. */
static float control(rtu_agent* agent, const plant* p, float reward, int fallen, int truncated, int learn) {
  const float observation[2] = {p->x, p->angle};
  float action = 0.0f;
  check(rtu_agent_predict(agent, observation, learn, &action), "predict");
  /* A real loop sends the action here, learns while the actuator moves, and then waits for the next period. */
  if (learn) check(rtu_agent_update(agent, reward, fallen, truncated, NULL), "update");
  return action;
}

/* Drives for a number of steps; returns the mean length of the last `window` episodes. */
static double drive(rtu_agent* agent, unsigned seed, int steps, int window, int learn) {
  plant p = {0.0f, 0.0f, 0.0f, 0.0f, seed, 0};
  int *lengths = calloc((size_t)steps, sizeof *lengths), episodes = 0;
  while (steps > 0) {
    start(&p);
    check(rtu_agent_begin(agent), "begin");
    float action = control(agent, &p, 0.0f, 0, 0, learn);
    for (int over = 0; !over && steps > 0; --steps) {
      const int fallen = advance(&p, 10.0f * action);
      over = fallen || p.steps == EPISODE;
      action = control(agent, &p, 1.0f, fallen, over && !fallen, learn);
      if (over) lengths[episodes++] = p.steps;
    }
  }
  double sum = 0.0;
  for (int i = 0; i < window; ++i) sum += lengths[episodes - 1 - i];
  free(lengths);
  return sum / window;
}

int main(int argc, char** argv) {
  const char* path = argc > 1 ? argv[1] : "cartpole.rtu";
  rtu_agent_config config;
  rtu_agent_config_init(&config);
  config.observation_size = 2;
  config.actions = 1;
  config.seed = argc > 2 ? (uint64_t)atoi(argv[2]) : 3;
  rtu_edge_flush_denormals();
  rtu_agent* agent = create(&config);
  const double learned = drive(agent, 1, TRAINING, 10, 1);

  size_t bytes = rtu_agent_checkpoint_bytes(agent, 0);
  void* data = malloc(bytes);
  check(rtu_agent_checkpoint_write(agent, NULL, 0, data, bytes), "write");
  FILE* file = fopen(path, "wb");
  if (file == NULL || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) return 1;

  file = fopen(path, "rb");
  if (file == NULL || fread(data, 1, bytes, file) != bytes || fclose(file) != 0) return 1;
  rtu_agent* loaded = create(&config);
  check(rtu_agent_checkpoint_read(loaded, data, bytes), "read");
  uint64_t hashes[2];
  check(rtu_agent_hash(agent, &hashes[0]), "hash");
  check(rtu_agent_hash(loaded, &hashes[1]), "hash");
  const double driven = drive(loaded, 2, 10 * EPISODE, 10, 0);
  printf("learned to %.1f steps, loaded and driven for %.1f, state %016llx\n", learned, driven,
         (unsigned long long)hashes[0]);
  return hashes[0] == hashes[1] && learned >= GOAL && driven >= GOAL ? 0 : 1;
}
