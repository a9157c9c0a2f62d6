/* PARAM: counters to read, and observations of a simulated plant to replace. */
#include "firmware_bridge/bridge/internal.h"
#include "firmware_bridge/protocol/bytes.h"

static bool read_counter(tl_bridge *bridge, tl_param *param) {
    if (param->op != TL_PARAM_READ || param->index >= TL_COUNTER_COUNT) return false;
    bridge->counters[TL_COUNTER_FRAMES] = bridge->rx.frames;
    bridge->counters[TL_COUNTER_CRC_ERRORS] = bridge->rx.crc_errors;
    bridge->counters[TL_COUNTER_GARBLED] = bridge->rx.garbled;
    bridge->counters[TL_COUNTER_OVERLONG] = bridge->rx.overlong;
    param->kind = TL_PARAM_U32;
    param->bits = bridge->counters[param->index];
    return true;
}

/* Replaces what an observation measures, or ends that. */
static bool force(tl_bridge *bridge, const tl_param *param) {
    const tl_plant_sheet *sheet = bridge->config.plant->sheet;
    const unsigned i = param->index - (unsigned)TL_PARAM_OBSERVATION;
    if (!sheet->simulated || param->index < TL_PARAM_OBSERVATION || i >= sheet->observation_size) return false;
    if (param->op != TL_PARAM_WRITE || param->kind > TL_PARAM_F32) return false;
    const bool on = param->kind == TL_PARAM_F32;
    if (on != bridge->is_forced[i]) bridge->n_forced = (uint8_t)(on ? bridge->n_forced + 1 : bridge->n_forced - 1);
    bridge->is_forced[i] = on;
    bridge->forced[i] = tl_f32_from_bits(param->bits);
    return true;
}

uint8_t tl_param_answer(tl_bridge *bridge, const tl_frame *question, uint64_t now_us) {
    tl_param param;
    tl_frame frame;
    if (!tl_param_unpack(question, &param)) return TL_STATUS_INVALID;
    if (!force(bridge, &param) && !read_counter(bridge, &param)) return TL_STATUS_UNSUPPORTED;
    param.op = TL_PARAM_IS;
    tl_param_pack(&param, &frame);
    tl_send_frame(bridge, &frame, now_us);
    return TL_STATUS_OK;
}
