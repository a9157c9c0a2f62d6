#include "firmware_bridge/boards/servos/virtual.h"

enum { START_NS = 1000000 }; /* 0 would mean "never" */

static ptrdiff_t virtual_read(void *self, uint8_t *out, size_t room) {
    tl_virtual_bus *bus = (tl_virtual_bus *)self;
    return (ptrdiff_t)tl_emulated_take(&bus->emulated, out, room, bus->now_ns);
}

static ptrdiff_t virtual_write(void *self, const uint8_t *bytes, size_t n) {
    tl_virtual_bus *bus = (tl_virtual_bus *)self;
    tl_emulated_receive(&bus->emulated, bytes, n, bus->now_ns);
    return (ptrdiff_t)n;
}

static void pass(tl_virtual_bus *bus, uint64_t until_ns) {
    if (until_ns > bus->now_ns) bus->now_ns = until_ns;
}

static int virtual_wait(void *self, uint64_t until_us, bool for_write) {
    tl_virtual_bus *bus = (tl_virtual_bus *)self;
    const uint64_t until_ns = until_us * 1000, due_ns = tl_emulated_due(&bus->emulated);
    if (for_write) return 1;
    pass(bus, due_ns <= until_ns ? due_ns : until_ns);
    return due_ns <= until_ns;
}

static uint64_t virtual_now(void *self) { return ((tl_virtual_bus *)self)->now_ns / 1000; }

/* Loads and mode of all servos. */
static void set_up(tl_virtual_bus *bus) {
    for (uint32_t i = 0; i < bus->emulated.count; i++) {
        bus->emulated.servos[i].gravity = bus->gravity;
        tl_emulated_set(&bus->emulated, &bus->emulated.servos[i], TL_REG_MODE, bus->mode);
    }
}

bool tl_virtual_init(tl_virtual_bus *bus, const char *family, uint32_t count, uint32_t baud, float gravity,
                     uint8_t mode) {
    bus->now_ns = bus->period_ns = START_NS;
    bus->gravity = gravity;
    bus->mode = mode;
    if (!tl_emulated_init(&bus->emulated, family, count, baud, bus->now_ns)) return false;
    set_up(bus);
    return true;
}

void tl_virtual_restart(void *self) {
    tl_virtual_bus *bus = (tl_virtual_bus *)self;
    const tl_emulated *old = &bus->emulated;
    (void)tl_emulated_init(&bus->emulated, tl_servo_family_at(old->family)->name, old->count, old->baud, bus->now_ns);
    set_up(bus);
}

tl_bus_wire tl_virtual_wire(tl_virtual_bus *bus) {
    return (tl_bus_wire){bus, virtual_read, virtual_write, virtual_wait, virtual_now, NULL};
}

void tl_virtual_begin_period(void *self, uint32_t period_us) {
    tl_virtual_bus *bus = (tl_virtual_bus *)self;
    bus->period_ns += (uint64_t)period_us * 1000;
    if (bus->period_ns < bus->now_ns) bus->period_ns = bus->now_ns;
    pass(bus, bus->period_ns);
    tl_emulated_advance(&bus->emulated, bus->now_ns / 1000);
}
