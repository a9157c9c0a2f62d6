/* Arduino.h on a port: time and Serial are the board's, pins are memory that a test reads through the emulator. */
#include <Arduino.h>

extern "C" {
#include "firmware_bridge/boards/ports/port.h"

tl_ring tl_port_rx, tl_port_tx;
float pins[32]; /* as written last: 0 and 1, a duty of 0 to 255, a pulse in us */
}

HardwareSerial Serial;

void HardwareSerial::begin(unsigned long) {}
int HardwareSerial::available() { return tl_ring_empty(&tl_port_rx) ? 0 : 1; }
int HardwareSerial::availableForWrite() { return static_cast<int>(tl_ring_room(&tl_port_tx)); }

int HardwareSerial::read() {
  uint8_t byte;
  return tl_ring_take(&tl_port_rx, &byte) ? byte : -1;
}

size_t HardwareSerial::write(const uint8_t* bytes, size_t n) {
  size_t taken = 0;
  while (taken < n && tl_ring_put(&tl_port_tx, bytes[taken])) taken++;
  tl_port_transmit();
  return taken;
}

unsigned long micros() { return static_cast<unsigned long>(tl_port_now_us()); }
void pinMode(uint8_t, uint8_t) {}
void digitalWrite(uint8_t pin, uint8_t value) { pins[pin] = value; }
void analogWrite(uint8_t pin, int value) { pins[pin] = static_cast<float>(value); }
int digitalRead(uint8_t pin) { return pins[pin] > 0.0f; }
int analogRead(uint8_t) { return 512; }
void attachInterrupt(int, void (*)(), int) {}
void noInterrupts() {}
void interrupts() {}

int main() {
  tl_port_start();
  setup();
  for (;;) {
    loop();
    tl_port_feed();
  }
}
