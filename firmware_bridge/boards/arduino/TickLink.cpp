#include <TickLink.h>

#include <string.h>

#include "firmware_bridge/boards/stm32f405/identity.h"

/* Memory that no start clears, where the core has such a section: the count of starts, and chance at power-on. */
#if defined(__AVR__)
#define TL_KEPT __attribute__((section(".noinit")))
#else
#define TL_KEPT
#endif
static tl_boot_memory boot_memory TL_KEPT;
static volatile uint32_t power_on[3] TL_KEPT;

bool TickLink::begin(const tl_plant &plant, Stream &line, void *state, uint16_t caps) {
    /* Where memory starts as zeros, the time of the first start is the only chance there is. */
    power_on[0] = power_on[0] ^ static_cast<uint32_t>(micros());
    line_ = &line;
    capacity_ = line.availableForWrite();
    tl_bridge_config config;
    memset(&config, 0, sizeof config);
    config.plant = &plant;
    config.plant_state = state != nullptr ? state : &episode_;
    config.boot_id = tl_next_boot_id(&boot_memory, power_on);
    config.caps = caps;
    config.fw_minor = 1;
    config.send = write_line;
    config.send_context = this;
    if (!tl_bridge_init(&bridge_, &config, now_us())) line_ = nullptr;
    return line_ != nullptr;
}

/* All of a frame or nothing. One that is longer than the buffer of the line waits for the part that does not fit. */
void TickLink::write_line(void *self, const uint8_t *bytes, size_t n) {
    TickLink *device = static_cast<TickLink *>(self);
    const int need = static_cast<int>(n) < device->capacity_ ? static_cast<int>(n) : device->capacity_;
    if (device->line_->availableForWrite() < need) {
        device->dropped_++;
        return;
    }
    device->line_->write(bytes, n);
}

/* micros() wraps after 71 minutes; update() sees each of them. */
uint64_t TickLink::now_us() {
    const uint32_t low = micros();
    if (low < low_us_) high_++;
    low_us_ = low;
    return static_cast<uint64_t>(high_) << 32 | low;
}

void TickLink::update() {
    uint8_t bytes[32];
    size_t n = 0;
    if (line_ == nullptr) return;
    while (n < sizeof bytes && line_->available() > 0) bytes[n++] = static_cast<uint8_t>(line_->read());
    if (n != 0) tl_bridge_receive(&bridge_, bytes, n, now_us());
    tl_bridge_tick(&bridge_, now_us());
}

void TickLink::log(uint8_t level, const char *text) {
    if (line_ != nullptr) tl_bridge_log(&bridge_, level, text, strlen(text), now_us());
}
