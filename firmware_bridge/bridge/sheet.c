/* The data sheet of the device: its rows as the protocol sends them, and their hash. */
#include <string.h>

#include "firmware_bridge/bridge/internal.h"
#include "firmware_bridge/protocol/schema.h"

/* Copies text that fits into max characters; stores an empty one, which tl_row_valid() refuses, if it does not fit. */
static void copy_text(char *to, const TL_ROM char *text, size_t max) {
    size_t n = 0;
    while (text[n] != '\0') n++;
    for (size_t i = 0; n <= max && i < n; i++) to[i] = text[i];
}

bool tl_bridge_row(const tl_bridge_config *config, uint8_t index, tl_row *row) {
    const tl_plant_sheet *sheet = config->plant->sheet;
    if (index >= sheet->observation_size + sheet->action_size) return false;
    const TL_ROM tl_plant_row *from = &sheet->rows[index];
    memset(row, 0, sizeof *row);
    row->index = index;
    row->actuator = index >= sheet->observation_size;
    row->safe = from->safe;
    row->min = from->min;
    row->max = from->max;
    row->slew = row->actuator ? tl_drive_slew(config, (uint8_t)(index - sheet->observation_size)) : 0.0f;
    row->safe_value = from->safe_value;
    copy_text(row->name, from->name, TL_NAME_MAX);
    copy_text(row->unit, from->unit, TL_UNIT_MAX);
    if (row->actuator) return true;
    row->role = sheet->roles != NULL ? sheet->roles[index] : (uint8_t)TL_ROW_ANY;
    for (uint8_t i = 0; i < sheet->n_limits && row->n_limits < TL_ROW_LIMITS_MAX; i++)
        if (sheet->limits[i].observation == index) row->limits[row->n_limits++] = sheet->limits[i].limit;
    return true;
}

bool tl_sheet_valid(const tl_plant *plant) {
    const tl_plant_sheet *sheet = plant->sheet;
    if (plant->reset == NULL || plant->step == NULL || plant->observe == NULL) return false;
    if (sheet->period_us == 0 || sheet->observation_size == 0 || sheet->action_size == 0) return false;
    return sheet->observation_size + sheet->action_size <= TL_VALUES_MAX && tl_limits_valid(sheet);
}

void tl_sheet_strip(tl_row *row) {
    row->role = TL_ROW_ANY;
    row->n_limits = 0;
}

bool tl_sheet_hash(const tl_bridge_config *config, uint8_t version, uint32_t *hash) {
    const tl_plant_sheet *sheet = config->plant->sheet;
    tl_row row;
    *hash = tl_schema_hash_head(sheet->period_us, sheet->observation_size, sheet->action_size);
    for (uint8_t i = 0; tl_bridge_row(config, i, &row); i++) {
        if (!tl_row_valid(&row)) return false;
        if (version < 2) tl_sheet_strip(&row);
        *hash = tl_schema_hash_row(*hash, &row);
    }
    return true;
}
