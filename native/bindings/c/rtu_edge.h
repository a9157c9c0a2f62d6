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
#pragma once

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

/* The arguments of the Python class rtu_edge.StreamAC; rtu_agent_config_init() sets its defaults. r_min is at most
 * r_max, units a multiple of units_per_pole, and units_per_pole 1 for the nonlinear cell. The decays are lambda, not
 * gamma lambda. */
typedef struct rtu_agent_config {
  uint32_t size;       /* of this struct: set by rtu_agent_config_init() */
  int32_t checkpoints; /* 1: room for the table of sections, 20 KB, that hash and checkpoints need */
  uint64_t seed;
  const char* isa; /* "scalar", "avx2", ...; NULL: the widest that this processor has */
  /* From here written by `make tables`. */
  /* Width d of the observation, 1 to 64; in the device's units, normalised inside; default 1 */
  int32_t observation_size;
  /* Number of actions, 1 to 32, or of discrete ones, 2 to 64; default 1 */
  int32_t actions;
  /* 1: discrete, an action is an index; default 0 */
  int32_t discrete;
  /* Recurrent units n of each network, 1 to 65536; default 32 */
  int32_t units;
  /* Layers after the recurrent cell, 0 to RTU_LAYERS_MAX of them, each 1 to 65536; default 32 */
  int32_t layers;
  int32_t hidden[RTU_LAYERS_MAX];
  /* Recurrent cell, one of RTU_CELL_LINEAR, RTU_CELL_NONLINEAR, RTU_CELL_NONE; none: memoryless baseline; default
   * RTU_CELL_LINEAR */
  int32_t cell;
  /* Activation function of the recurrent cell, one of RTU_RELU, RTU_TANH, RTU_IDENTITY; default RTU_TANH */
  int32_t activation;
  /* Units that share one pole and its traces, 1 to 4096; a divisor of the number of units; 1 for the nonlinear cell;
   * default 1 */
  int32_t units_per_pole;
  /* 1: one network for actor and critic with summed updates; default 0 */
  int32_t shared_body;
  /* Discount factor per step, 0 to 1; default 0.99 */
  double gamma;
  /* Decay lambda of the eligibility traces per step, 0 to 1; default 0.9 */
  double decay_recurrent, decay_body, decay_head;
  /* Optimizer, one of RTU_OBGD, RTU_SGD, RTU_ADAM; obgd: overshooting-bounded gradient descent; default RTU_OBGD */
  int32_t optimizer;
  /* Step size of the actor, 0 to 1e6; 0 freezes its weights; default 1 */
  double actor_step_size;
  /* Factor kappa of the step bound of obgd, above 0, at most 1e6; larger values take smaller steps; default 2 */
  double actor_kappa;
  /* Step size of the critic, 0 to 1e6; 0 freezes its weights; default 1 */
  double critic_step_size;
  /* Factor kappa of the step bound of obgd, above 0, at most 1e6; larger values take smaller steps; default 3 */
  double critic_kappa;
  /* Entropy coefficient tau, 0 to 1000; default 0.01 */
  double entropy;
  /* Smallest retention of a pole at initialisation, 0 to 0.9999999; at most r_max; default 0.7 */
  double r_min;
  /* Largest retention of a pole at initialisation, above 0, at most 1; default 1 */
  double r_max;
  /* Largest phase of a pole at initialisation, above 0, at most 1000 rad per step; default 6.28 */
  double max_phase;
  /* Share of zero weights in dense layers at initialisation, 0 to 1; each row keeps one weight; default 0.9 */
  double sparsity;
  /* Offset added to the standard deviation of continuous actions, 0 to 1000; default 0 */
  double sigma_floor;
  /* Normalise each channel by its running mean and variance; a channel that has not moved gives 0; default 1 */
  int32_t normalize_observation;
  /* Clip normalised observations and the readings in their statistics, 0, or 2 to 1e6 standard deviations; 0
   * disables clipping; default 10 */
  double observation_bound;
  /* Divide rewards by the running standard deviation of the return; default 1 */
  int32_t scale_reward;
  /* Recompute value and gradient of the previous state with the new weights, as in the published code; default 0 */
  int32_t recompute;
  /* To here. */
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

/* A checkpoint: a header, the text (the configuration, for readers of the file; may be NULL), canonical bytes, a CRC.
 * The same bytes on every instruction set, and those that Python reads and writes. Reading changes nothing unless all
 * of it is good. Writing refuses a learner that reading would refuse: RTU_BAD_VALUE, and `out` is as it was. */
RTU_API size_t rtu_agent_checkpoint_bytes(const rtu_agent* agent, uint32_t text_bytes);
RTU_API int32_t rtu_agent_checkpoint_write(rtu_agent* agent, const char* text, uint32_t text_bytes, void* out,
                                           size_t bytes);
RTU_API int32_t rtu_agent_checkpoint_read(rtu_agent* agent, const void* data, size_t bytes);

#ifdef __cplusplus
}
#endif
