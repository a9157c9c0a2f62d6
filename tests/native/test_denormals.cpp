// The mode is set while the object exists, and restored afterwards: nested, and if it was set before.
#include <float.h>

#include "check.h"
#include "native/runtime/denormals.h"

namespace {

using namespace rtu::runtime;

bool flushed() {
  volatile float small = FLT_MIN;
  volatile float denormal = small * 0.5f;
  return denormal == 0.0f;
}

}  // namespace

int main() {
  CHECK(!flushed());
  {
    const DenormalsFlushed outer;
    CHECK(flushed());
    {
      const DenormalsFlushed inner;
      CHECK(flushed());
    }
    CHECK(flushed());
  }
  CHECK(!flushed());
  const unsigned long state = flush_denormals();
  {
    const DenormalsFlushed again;
  }
  CHECK(flushed());
  restore_denormals(state);
  CHECK(!flushed());
  return 0;
}
