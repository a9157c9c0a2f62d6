/* TickLink for Arduino: the safety state machine of rtu_edge between a host and your plant.
 *
 *     #include <TickLink.h>
 *     static const TL_IN_FLASH tl_plant_row rows[] = {...};      names, units, ranges, safe behaviour
 *     static const tl_plant plant = {...};                       reset, step, observe, apply
 *     static TickLink device;
 *     void setup() { Serial.begin(500000); device.begin(plant, Serial); }
 *     void loop() { device.update(); }
 *
 * examples/ has complete sketches. The bridge is the C99 of firmware_bridge/, the same as on every other board. */
#pragma once

#include <Arduino.h>

#include "firmware_bridge/bridge/bridge.h"
#include "firmware_bridge/plants/parts.h"

class TickLink {
   public:
    /* Puts the bridge in front of a plant; its actuators get their safe values. Serial.begin() comes first.
     *
     * state: memory that the plant's functions get, the episode first; nullptr: an episode alone.
     * caps: TL_CAP_RESET if a RESET can start an episode, TL_CAP_REWARD if step() returns the reward.
     *
     * False, and nothing runs, if the data sheet does not fit: tl_bridge_init() has the rules, sizes.h the sizes. */
    bool begin(const tl_plant &plant, Stream &line, void *state = nullptr, uint16_t caps = TL_CAP_RESET);

    /* Reads what has arrived and runs a period if one is due. Call it from loop(), as often as possible; it waits only
     * for a frame longer than the line's own buffer. */
    void update();

    /* True while a host commands. */
    bool armed() const { return bridge_.state == TL_STATE_ARMED; }

    /* A line of text for the host's operator; level as in syslog: 3 error, 4 warning, 6 info. */
    void log(uint8_t level, const char *text);

    /* Frames that were dropped because the line was full. */
    uint32_t dropped() const { return dropped_; }

   private:
    static void write_line(void *self, const uint8_t *bytes, size_t n);
    uint64_t now_us();

    tl_bridge bridge_;
    tl_plant_episode episode_;
    Stream *line_ = nullptr;
    int capacity_ = 0;
    uint32_t dropped_ = 0;
    uint32_t low_us_ = 0, high_ = 0;
};
