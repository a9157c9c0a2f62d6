/* The registry. */
#include "firmware_bridge/plants/parts.h"

static const tl_plant *const kPlants[] = {
    &tl_plant_cartpole, &tl_plant_cartpole_full, &tl_plant_pendulum, &tl_plant_pendulum_full,
    &tl_plant_servo,    &tl_plant_servo_full,    &tl_plant_joint,
#ifdef TL_PLANT_OWN
    &tl_plant_own,
#endif
};

static bool same(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        ++a;
        ++b;
    }
    return *a == *b;
}

size_t tl_plant_count(void) { return sizeof kPlants / sizeof kPlants[0]; }

const tl_plant *tl_plant_at(size_t index) { return index < tl_plant_count() ? kPlants[index] : NULL; }

const tl_plant *tl_plant_find(const char *name) {
    for (size_t i = 0; i < tl_plant_count(); ++i) {
        if (same(kPlants[i]->sheet->name, name)) {
            return kPlants[i];
        }
    }
    return NULL;
}

void tl_plant_limit(void *state, uint32_t max_steps) { ((tl_plant_episode *)state)->max_steps = max_steps; }
