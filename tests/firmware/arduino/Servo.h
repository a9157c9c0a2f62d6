/* What ServoPwm takes from the library Servo; see Arduino.h. */
#pragma once

#include <Arduino.h>

class Servo {
 public:
  uint8_t attach(int pin) {
    pin_ = static_cast<uint8_t>(pin);
    return 0;
  }
  void writeMicroseconds(int us) { analogWrite(pin_, us); }

 private:
  uint8_t pin_ = 0;
};
