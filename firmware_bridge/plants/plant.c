/* The registry. */
#include "firmware_bridge/plants/parts.h"

static const rtu_plant *const kPlants[] = {
    &rtu_plant_cartpole,      &rtu_plant_cartpole_full, &rtu_plant_pendulum,
    &rtu_plant_pendulum_full, &rtu_plant_servo,         &rtu_plant_servo_full,
#ifdef RTU_PLANT_OWN
    &rtu_plant_own,
#endif
};

static bool same(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        ++a;
        ++b;
    }
    return *a == *b;
}

size_t rtu_plant_count(void) { return sizeof kPlants / sizeof kPlants[0]; }

const rtu_plant *rtu_plant_at(size_t index) { return index < rtu_plant_count() ? kPlants[index] : NULL; }

const rtu_plant *rtu_plant_find(const char *name) {
    for (size_t i = 0; i < rtu_plant_count(); ++i) {
        if (same(kPlants[i]->sheet->name, name)) {
            return kPlants[i];
        }
    }
    return NULL;
}

void rtu_plant_limit(void *state, uint32_t max_steps) { ((rtu_plant_episode *)state)->max_steps = max_steps; }
