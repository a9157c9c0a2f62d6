/* What the library and its examples take from an Arduino core, for 32-bit processors whose core is not at hand: made
 * for tests, not a vendor's. core.cpp implements it on the ports of firmware_bridge/boards/ports. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { LOW, HIGH };
enum { INPUT, OUTPUT, INPUT_PULLUP };
enum { CHANGE = 1 };
enum : uint8_t { A0 = 14, A1 };

class Stream {
 public:
  virtual int available() = 0;
  virtual int read() = 0;
  virtual int availableForWrite() = 0;
  virtual size_t write(const uint8_t* bytes, size_t n) = 0;
};

class HardwareSerial : public Stream {
 public:
  void begin(unsigned long baud);
  int available() override;
  int read() override;
  int availableForWrite() override;
  size_t write(const uint8_t* bytes, size_t n) override;
};
extern HardwareSerial Serial;

unsigned long micros();
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);
int digitalRead(uint8_t pin);
int analogRead(uint8_t pin);
void analogWrite(uint8_t pin, int value);
inline int digitalPinToInterrupt(uint8_t pin) { return pin; }
void attachInterrupt(int interrupt, void (*function)(), int mode);
void noInterrupts();
void interrupts();

void setup();
void loop();
