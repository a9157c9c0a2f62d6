/* rtu_edge for C: stream AC(lambda) over recurrent trace units, in memory of the caller. For C, C++, Rust or ROS
 * programs, and for firmware: no heap, thread, clock, file or operating system is needed.
 *
 *     rtu_agent_config config;
 *     rtu_agent_config_init(&config);
 *     config.observation_size = 2;
 *     config.actions = 1;
 *     static _Alignas(RTU_AGENT_ALIGNMENT) unsigned char memory[64 * 1024];
 *     rtu_agent *agent;
 *     if (rtu_agent_init(&config, memory, sizeof memory, &agent) != RTU_OK) ...
 *     rtu_agent_begin(agent);
 *     rtu_agent_predict(agent, observation, 1, action);          // send the action ...
 *     rtu_agent_update(agent, reward, terminated, truncated, NULL);  // ... then learn, until the next observation
 *
 * Functions return RTU_OK or a negative status; then nothing has changed and nothing was written. An agent is used by
 * one thread at a time. Denormal numbers make learning slow: set flush-to-zero in the thread that steps. */
#ifndef RTU_EDGE_H
#define RTU_EDGE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define RTU_API __attribute__((visibility("default")))
#else
#define RTU_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define RTU_AGENT_ALIGNMENT 64 /* bytes */
#define RTU_LAYERS_MAX 4

enum {
  RTU_OK = 0,
  RTU_NON_FINITE = -1,   /* an observation, reward or action is NaN or infinite */
  RTU_ORDER = -2,        /* a call out of order, such as update without predict */
  RTU_BAD_ARGUMENT = -3, /* a configuration out of range, or memory that is too small or not aligned */
  RTU_TOO_MANY = -4,     /* more sections than a layout can hold */
  RTU_BAD_MAGIC = -5,    /* not a checkpoint */
  RTU_BAD_VERSION = -6,  /* a checkpoint of a version that this build does not know */
  RTU_BAD_LAYOUT = -7,   /* a checkpoint of another configuration */
  RTU_BAD_SIZE = -8,     /* a checkpoint that is cut short or too long */
  RTU_BAD_CRC = -9,      /* a checkpoint with damaged bytes */
  RTU_BAD_VALUE = -10    /* a checkpoint whose values can't be */
};

enum { RTU_CELL_NONE = 0, RTU_CELL_LINEAR = 1, RTU_CELL_NONLINEAR = 2 };
enum { RTU_IDENTITY = 0, RTU_RELU = 1, RTU_TANH = 2 };
enum { RTU_OBGD = 0, RTU_SGD = 1, RTU_ADAM = 2 };

/* What the arguments of the Python class rtu_edge.StreamAC are. rtu_agent_config_init() fills in its defaults. */
typedef struct rtu_agent_config {
  uint32_t size;            /* of this struct: set by rtu_agent_config_init() */
  int32_t observation_size; /* 1 to 64 */
  int32_t actions;          /* continuous: 1 to 32; discrete: 2 to 64 */
  int32_t discrete;         /* 1: an action is an index */
  int32_t units;            /* 1 to 65536 */
  int32_t units_per_pole;
  int32_t layers; /* 0 to RTU_LAYERS_MAX */
  int32_t hidden[RTU_LAYERS_MAX];
  int32_t cell, activation, optimizer; /* RTU_CELL_*, RTU_RELU ..., RTU_OBGD ... */
  int32_t shared_body, normalize_observation, scale_reward, recompute;
  int32_t checkpoints; /* 1: room for the table of sections, 20 KB, that hash and checkpoints need */
  double gamma, decay_recurrent, decay_body, decay_head; /* the decays are lambda, not gamma lambda */
  double actor_step_size, actor_kappa, critic_step_size, critic_kappa;
  double entropy, r_min, r_max, max_phase, sparsity, sigma_floor;
  double observation_bound; /* deviations, 2 to 1e6; 0: no bound */
  uint64_t seed;
  const char* isa; /* "scalar", "avx2", ...; NULL: the widest that this processor has */
} rtu_agent_config;

typedef struct rtu_agent rtu_agent;

RTU_API void rtu_agent_config_init(rtu_agent_config* config);

/* Bytes that rtu_agent_init() wants, or 0 when the configuration is refused. */
RTU_API size_t rtu_agent_bytes(const rtu_agent_config* config);

/* Makes an agent in memory (RTU_AGENT_ALIGNMENT, at least rtu_agent_bytes()), which belongs to it from then on. There
 * is nothing to free. The agent may not be moved. */
RTU_API int32_t rtu_agent_init(const rtu_agent_config* config, void* memory, size_t bytes, rtu_agent** agent);

RTU_API const char* rtu_agent_isa(const rtu_agent* agent);
RTU_API int32_t rtu_agent_width(const rtu_agent* agent); /* of an action: 1 when it is an index */

/* An episode's start, before its first observation. */
RTU_API int32_t rtu_agent_begin(rtu_agent* agent);

/* observation (observation_size), action (width): continuous in [-1, 1], or one index. explore 0: the most likely
 * action, nothing is learned, and rtu_agent_update() is not called after it. */
RTU_API int32_t rtu_agent_predict(rtu_agent* agent, const float* observation, int32_t explore, float* action);

/* After predict: learns from the transition that ended in its observation. The first call after begin has no transition
 * yet. applied (width) or NULL: what the actuators really did; where it differs from our action, the critic alone
 * learns. */
RTU_API int32_t rtu_agent_update(rtu_agent* agent, float reward, int32_t terminated, int32_t truncated,
                                 const float* applied);

/* 64 bits over everything that a checkpoint holds: rtu_edge.StreamAC.state_hash(). */
RTU_API int32_t rtu_agent_hash(rtu_agent* agent, uint64_t* hash);

/* A checkpoint: a header, the text (the configuration, for whoever reads it; may be NULL), canonical bytes, a CRC. The
 * same bytes on every instruction set, and those that Python reads and writes. Reading changes nothing unless all of it
 * is good. Writing refuses a learner that reading would refuse: RTU_BAD_VALUE, and `out` is as it was. */
RTU_API size_t rtu_agent_checkpoint_bytes(const rtu_agent* agent, uint32_t text_bytes);
RTU_API int32_t rtu_agent_checkpoint_write(rtu_agent* agent, const char* text, uint32_t text_bytes, void* out,
                                           size_t bytes);
RTU_API int32_t rtu_agent_checkpoint_read(rtu_agent* agent, const void* data, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
