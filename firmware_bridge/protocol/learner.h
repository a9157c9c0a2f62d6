/* 40 LEARNER: talk with a learner on the device itself. The bridge does not know this type; a board with a learner answers it beside
 * the bridge. Payload: op u8, 3 bytes reserved (0), then by op; little-endian.
 *
 *   op            from    payload from offset 4
 *   0 STATUS      host    nothing: asks
 *                 device  running u32 | steps u32 | limit u32 | episodes u32 | last return f32 | mean return of the last 20 f32 |
 *                         value f32 | delta f32 | arena bytes u32 | observations u8 | actions u8 | units u8 | hidden u8
 *                         (also sent unasked: each 20 episodes, and when the limit is reached)
 *   1 RUN         host    steps u32: goes on until so many control steps have been taken since INIT; answer STATUS.
 *                         After BYTES have been written, an episode begins first
 *   2 STOP        host    nothing; answer STATUS
 *   3 INIT        host    seed u32: a new learner; answer STATUS
 *   4 READ        host    offset u32 | n u32, n <= 220: bytes of the arena; answer BYTES. Not while it runs: answer STATUS
 *   5 BYTES       device  offset u32 | n bytes
 *                 host    the same, to be written into the arena, not while it runs; answer STATUS
 *
 * The arena has the layout of one lane (native/core/arena.h); whoever has the same configuration knows where everything is. */
#ifndef RTU_PROTOCOL_LEARNER_H
#define RTU_PROTOCOL_LEARNER_H

enum { RTU_TYPE_LEARNER = 0x40 };

enum {
    RTU_LEARNER_STATUS = 0,
    RTU_LEARNER_RUN = 1,
    RTU_LEARNER_STOP = 2,
    RTU_LEARNER_INIT = 3,
    RTU_LEARNER_READ = 4,
    RTU_LEARNER_BYTES = 5
};

enum { RTU_LEARNER_HEAD = 4, RTU_LEARNER_STATUS_BYTES = 44, RTU_LEARNER_CHUNK = 220 };

#endif
