/* 40 LEARNER: talk with a learner on the device itself; docs/protocol.md has the payloads. The bridge does not know this type: a board
 * with a learner answers it beside the bridge. */
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
