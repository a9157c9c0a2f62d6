#include "firmware_bridge/bus/packet.h"

bool tl_bus_id_valid(uint8_t id) { return id <= TL_BUS_ID_MAX || id == TL_BUS_BROADCAST; }
