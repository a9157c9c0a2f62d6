/* 40 LEARNER: access to a learner on the device itself; docs/protocol_learner.md has the payloads. The bridge does not
 * process this type: a board with a learner answers it in addition to the bridge. */
#pragma once

enum { TL_TYPE_LEARNER = 0x40 };

enum {
    TL_LEARNER_STATUS = 0,
    TL_LEARNER_RUN = 1,
    TL_LEARNER_STOP = 2,
    TL_LEARNER_INIT = 3,
    TL_LEARNER_READ = 4,
    TL_LEARNER_BYTES = 5,
    TL_LEARNER_SAVE = 6,
    TL_LEARNER_RECORD = 7,
    TL_LEARNER_DRIVE = 8
};

/* Of the learner monitor and of DRIVE, in STATUS: 48 bits of these u8, 49 findings u8 (MonitorFlag), 50 rollbacks u16,
 * 52 validated snapshots u32, 56 control steps longer than the plant's period u32. A rollback sends STATUS; RUN and
 * DRIVE are not obeyed while the learner is frozen. */
enum { TL_LEARNER_MONITORED = 1, TL_LEARNER_FROZEN = 2, TL_LEARNER_DRIVING = 4 };

/* Flags of a RECORD. LIMITED: the plant was given another action than the learner's; it follows the observation. */
enum { TL_LEARNER_FIRST = 1, TL_LEARNER_TERMINATED = 2, TL_LEARNER_TRUNCATED = 4, TL_LEARNER_LIMITED = 8 };

enum {
    TL_LEARNER_HEAD = 4,
    TL_LEARNER_STATUS_BYTES = 60,
    TL_LEARNER_CHUNK = 220,
    TL_LEARNER_SILENCE_MAX_MS = 10000 /* of a host whose learner drives */
};
