/* A plant whose step() only writes the registers of two drivers, which tests/test_driver.py reads. In a process the
 * registers are the file that TL_TEST_DRIVER names, in an image they are tl_test_driver. */
#include "firmware_bridge/plants/parts.h"

#ifdef __unix__
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile float* registers(void) {
  const char* path = getenv("TL_TEST_DRIVER");
  const int fd = path != NULL ? open(path, O_RDWR | O_CREAT, 0600) : -1;
  void* page = MAP_FAILED;
  if (fd != -1 && ftruncate(fd, 2 * sizeof(float)) == 0)
    page = mmap(NULL, 2 * sizeof(float), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) abort();
  return (volatile float*)page;
}
#else
volatile float tl_test_driver[2];

static volatile float* registers(void) { return tl_test_driver; }
#endif

typedef struct {
  tl_plant_episode episode;
  uint32_t end; /* seed of the episode: 1 terminates and 2 truncates it after ten steps */
} machine;

static const tl_plant_row rows[] = {
    {"speed", "rpm", 0.0f, 100.0f, TL_SAFE_NONE, 0.0f},
    {"motor", "V", -12.0f, 12.0f, TL_SAFE_OFF, 0.0f},
    {"valve", "mm", 0.0f, 5.0f, TL_SAFE_HOLD, 2.0f},
};
static const tl_plant_sheet sheet = {.name = "driver",
                                     .period_us = 20000u,
                                     .observation_size = 1,
                                     .action_size = 2,
                                     .rows = rows,
                                     .title = "two drivers"};

static void reset(void* state, uint32_t seed) {
  machine* m = (machine*)state;
  tl_episode_begin(&m->episode, 0);
  m->end = seed;
}

static tl_plant_result step(void* state, const float* u) {
  static volatile float* driver;
  machine* m = (machine*)state;
  if (driver == NULL) driver = registers();
  driver[0] = u[0];
  driver[1] = u[1];
  m->episode.step++;
  const bool over = m->episode.step == 10u;
  return (tl_plant_result){0.0f, over && m->end == 1u, over && m->end == 2u};
}

static void observe(const void* state, float* x) {
  (void)state;
  x[0] = 1.0f;
}

const tl_plant tl_plant_own = {&sheet, reset, step, observe, sizeof(machine)};
