// The device's description of itself: HELLO and the rows of its data sheet.
#include "firmware_bridge/protocol/crc32.h"
#include "firmware_bridge/protocol/schema.h"
#include "native/runtime/link/link.h"

namespace rtu::runtime::link {
namespace {

constexpr int kRowOfVersion1 = 56;  // bytes: no field follows

// Without roles and limits.
uint32_t hash_of_version_1(const tl_hello& hello, const tl_row* rows) noexcept {
  char text[TL_SCHEMA_LINE_MAX];
  const size_t head = tl_schema_head(hello.period_us, hello.observation_size, hello.action_size, text);
  uint32_t hash = tl_crc32(0, text, head);
  for (int i = 0; i < hello.observation_size + hello.action_size; ++i) {
    tl_row row = rows[i];
    row.role = TL_ROW_ANY;
    row.n_limits = 0;
    hash = tl_crc32(hash, text, tl_schema_line(&row, text));
  }
  return hash;
}

}  // namespace

bool same_sheet(const tl_hello& a, const tl_hello& b) noexcept {
  return a.proto_ver == b.proto_ver && a.caps == b.caps && a.schema_hash == b.schema_hash &&
         a.period_us == b.period_us && a.ttl_max_ms == b.ttl_max_ms && a.observation_size == b.observation_size &&
         a.action_size == b.action_size;
}

// What a device sends at boot, or to a host of version 1, has the hash of version 1.
bool Link::is_known(tl_hello hello) const noexcept {
  if (hello.proto_ver == 1 && known.proto_ver > 1 && (hash_1_ == 0 || hello.schema_hash == hash_1_)) {
    hello.proto_ver = known.proto_ver;
    hello.schema_hash = known.schema_hash;
  }
  return same_sheet(hello, known);
}

LinkStatus Link::describe(const tl_hello& hello, int64_t timeout_ns, tl_row* rows) noexcept {
  const int64_t give_up_ns = clock_.now() + timeout_ns;
  const int count = hello.observation_size + hello.action_size;
  tl_frame question;
  tl_frame answer;
  for (int i = 0; i < count;) {
    const tl_describe describe{static_cast<uint8_t>(i), hello.proto_ver};
    tl_describe_pack(&describe, &question);
    const LinkStatus status = ask(&question, TL_TYPE_ROW, give_up_ns - clock_.now(), &answer);
    if (status != LinkStatus::kOk) return status;
    // An answer to an earlier, repeated request may still be in transit.
    tl_row row;
    if (!tl_row_unpack(&answer, &row) || (hello.proto_ver < 2 && answer.size != kRowOfVersion1)) {
      bad_row = i;
      return LinkStatus::kRow;
    }
    if (row.index == i) rows[i++] = row;
  }
  const uint32_t hash = tl_schema_hash(hello.period_us, hello.observation_size, hello.action_size, rows);
  if (hash != hello.schema_hash) return LinkStatus::kSchema;
  hash_1_ = hash_of_version_1(hello, rows);
  return LinkStatus::kOk;
}

}  // namespace rtu::runtime::link
