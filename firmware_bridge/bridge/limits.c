/* The limits of the data sheet: what they leave of an output, and the one that is exceeded. */
#include "firmware_bridge/bridge/internal.h"

/* How far x is outside: above 0 beyond high, below 0 beyond low, 0 inside. */
static float outside(const TL_ROM tl_limit *limit, float x) {
    if (x > limit->high) return x - limit->high;
    if (x < limit->low) return x - limit->low;
    return 0.0f;
}

/* v, or 0 where it drives further out. */
static float back_in(const TL_ROM tl_limit *limit, float out, float v) {
    const float outward = limit->sense < 0 ? -v : v;
    return (out > 0.0f && outward > 0.0f) || (out < 0.0f && outward < 0.0f) ? 0.0f : v;
}

/* v within the share of the range that is left. */
static float derated(const TL_ROM tl_limit *limit, float out, const TL_ROM tl_plant_row *row, float v) {
    const float left = 1.0f - limit->slope * (out < 0.0f ? -out : out);
    const float share = left > 0.0f ? left : 0.0f;
    if (v < row->min * share) return row->min * share;
    if (v > row->max * share) return row->max * share;
    return v;
}

float tl_limits_bound(const tl_bridge *bridge, uint8_t i, float v, bool command, uint8_t *by) {
    const tl_plant_sheet *sheet = bridge->config.plant->sheet;
    const TL_ROM tl_plant_row *row = &sheet->rows[sheet->observation_size + i];
    for (uint8_t k = 0; k < sheet->n_limits; k++) {
        const TL_ROM tl_sheet_limit *at = &sheet->limits[k];
        const float out = outside(&at->limit, bridge->measured[at->observation]);
        const float before = v;
        if (out == 0.0f || (at->limit.actuator != i && at->limit.actuator != TL_LIMIT_ALL)) continue;
        if (at->limit.kind == TL_LIMIT_DIRECTION) v = back_in(&at->limit, out, v);
        if (at->limit.kind == TL_LIMIT_DERATE && command) v = derated(&at->limit, out, row, v);
        if (v != before) *by = (uint8_t)(at->observation + 1);
    }
    return v;
}

const TL_ROM char *tl_limits_exceeded(const tl_bridge *bridge) {
    const tl_plant_sheet *sheet = bridge->config.plant->sheet;
    if (sheet->simulated && tl_episode_ended(bridge)) return NULL; /* it stays where it is until RESET */
    for (uint8_t k = 0; k < sheet->n_limits; k++) {
        const TL_ROM tl_sheet_limit *at = &sheet->limits[k];
        const float x = bridge->measured[at->observation];
        if (at->limit.kind == TL_LIMIT_FAULT && !(x >= at->limit.low && x <= at->limit.high))
            return sheet->rows[at->observation].name;
    }
    return NULL;
}

void tl_limits_log(tl_bridge *bridge, uint64_t now_us) {
    static const TL_IN_FLASH char text[] = "outside a limit of the data sheet: ";
    const TL_ROM char *name = tl_limits_exceeded(bridge);
    tl_frame frame;
    char *to = tl_log_begin(3, &frame);
    for (size_t i = 0; text[i] != '\0'; i++) *to++ = text[i];
    for (size_t i = 0; name != NULL && i < TL_NAME_MAX && name[i] != '\0'; i++) *to++ = name[i];
    tl_log_end(to, &frame);
    tl_send_frame(bridge, &frame, now_us);
}

/* 0 must be an output without drive that the actuator has. */
static bool acts_on_zero(const tl_plant_sheet *sheet, const TL_ROM tl_limit *limit) {
    if (limit->kind == TL_LIMIT_FAULT) return true;
    if (limit->actuator != TL_LIMIT_ALL && limit->actuator >= sheet->action_size) return false;
    for (uint8_t i = 0; i < sheet->action_size; i++) {
        const TL_ROM tl_plant_row *row = &sheet->rows[sheet->observation_size + i];
        if ((limit->actuator == i || limit->actuator == TL_LIMIT_ALL) && !(row->min <= 0.0f && row->max >= 0.0f))
            return false;
    }
    return true;
}

bool tl_limits_valid(const tl_plant_sheet *sheet) {
    uint8_t of[TL_VALUES_MAX] = {0};
    if (sheet->n_limits != 0 && sheet->limits == NULL) return false;
    for (uint8_t k = 0; k < sheet->n_limits; k++) {
        const TL_ROM tl_sheet_limit *at = &sheet->limits[k];
        if (at->observation >= sheet->observation_size || ++of[at->observation] > TL_ROW_LIMITS_MAX) return false;
        if (!acts_on_zero(sheet, &at->limit)) return false;
    }
    return true;
}
