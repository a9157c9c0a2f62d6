// The kernels: loops over floats, one source, compiled per instruction set into a table of functions.
//
//   letter      meaning                                                            shape           docs/math.md
//   P, d, G     poles padded to whole lanes, inputs, units that share a pole
//   g, phi      real and imaginary part of the pole, r cos(theta), r sin(theta)    (P)             1
//   gam         input scale sqrt(1 - r^2) + 1e-8                                   (P)             1
//   h1, h2      state before the step; k1, k2 after it                             (G, P)          1
//   u1, u2      W1 x, W2 x                                                         (G, P)          1
//   s1, s2      f'(h) (linear) or f'(z) (nonlinear) of the newest state            (G, P)          1, 2
//   N, T        dh/dnu_log, dh/dtheta_log                                          (2, G, P)       2
//   A, B        dh/dW1, dh/dW2; the linear RTU keeps A alone: B1 = -A2, B2 = A1    (P, d)          2
//   e1, e2      cotangent of z (linear) or of h (nonlinear)                        (G, P)          2
//   z           eligibility trace of a weight, one set per optimiser               like the weight 4
//   a           pending step alpha delta of a set: w <- w + a z                    scalar          4
//
// Cells with gates (P units, one number h each):
//   K           dh'/dh, by which every trace is multiplied                         (P)             cells 1
//   a1, a2      dh'/dv at fixed h, v the argument of the first and second gate     (P)             cells 1
//   S1, S2      dh/dW of the two weight matrices                                   (P, d)          cells 1
//   b1, b2      biases of the gates; w1, w2: weights of h itself (eLSTM)           (P)             cells 1
//
// Vectors over units are padded to whole lanes, member-major: element (k, p) at k P + p. Lanes beyond the last pole
// carry no weight and no cotangent, so that their contents never reach a sum.
#pragma once

#include <stdint.h>

namespace rtu::kernels {

constexpr int kMaxSets = 2;  // eligibility sets on one body: critic and actor

// log(4 pi): no step carries theta_log above it (docs/math_learners.md, 4, Phases).
constexpr double kMaxThetaLog = 2.5310242469692907;

enum class Activation : int32_t { kIdentity = 0, kRelu = 1, kTanh = 2 };

// The recurrent block in memory. For the pole block b, member k, input j:
//   traces  at  traces  + (b d + j) trace_step:             [A1 V][A2 V]  (nonlinear: [A1][A2][B1][B2])
//   weights at  weights + ((b G + k) d + j) weight_step:     [W1 V][W2 V] then per set [z1 V][z2 V]
// Two streams: predict reads only the weights, so that the processor's prefetcher loads only data that is used.
template <class T>
struct Block {
  T* traces;
  T* weights;
  int32_t trace_step, weight_step;  // scalars: (2 or 4) V, (2 + 2 sets) V
  int32_t blocks, inputs, units_per_pole, sets;
};

// The traces that a block keeps for each pole or unit and input, and how a cotangent contracts with them.
enum class TraceForm : int32_t {
  kComplex = 0,  // A1, A2: dL/dW1 = e1 A1 + e2 A2, dL/dW2 = e2 A1 - e1 A2
  kFour = 1,     // A1, A2, B1, B2: dL/dW1 = e1 A1 + e2 A2, dL/dW2 = e1 B1 + e2 B2
  kReal = 2,     // S1, S2: dL/dW1 = e1 S1, dL/dW2 = e1 S2
};

template <class T>
struct Coefficients {  // each (P)
  T *nu, *theta, *g, *phi, *gam, *dgam;
};

// Arguments of update() for one eligibility set.
template <class T>
struct SetCotangent {
  const T* e1;
  const T* e2;
  T decay;  // gamma lambda
  T norm;   // out: sum |z| after the update
};

template <class T>
struct UnitTraces {  // per pole (P) z; per unit (G, P) N and T
  T *N1, *N2, *T1, *T2;
  T* z_nu[kMaxSets];
  T* z_theta[kMaxSets];
};

// How a cell with gates moves its state (docs/math_cells.md, 1).
enum class GateForm : int32_t { kMinGru = 0, kElstm = 1 };

template <class T>
struct Gates {  // each (P)
  T *K, *a1, *a2;
};

template <class T>
struct GateTraces {  // of b1, b2, w1, w2, each (P)
  T* s[4];
  T* z[kMaxSets][4];
};

template <class T>
struct AdamStep {
  T rate;     // the step size over the first moment's bias correction
  T b1, b2;   // decay of the moments
  T unbias2;  // 1 / (1 - b2^t)
  T eps;
  T scale;  // the ascent direction is scale z
};

// Arguments of condition(): s^2 is the larger of of_gradient g^2 and of_trace e^2, or with wants_norm the latter alone.
template <class T>
struct ConditionStep {
  T decay;                  // gamma lambda
  T of_gradient, of_trace;  // weights of the two squares
  T b2, unbias2;            // decay of the second moment; 1 / (1 - b2^t)
  T inside;                 // p = sqrt(v unbias2 + inside)
  bool wants_norm;          // of the sums norm alone; else gradient and trace
};

template <class T>
struct ConditionSums {
  T gradient;  // sum g^2 / p
  T trace;     // sum e^2 / p
  T norm;      // sum |e / p|
};

// A last layer of one output with a rule of its own (docs/math_online.md); a row of n weights, or its bias. After z and
// zd only SwiftTD's, null otherwise.
//
//   letter      meaning
//   w           weight
//   z, zd       eligibility, times the step size; what the newest input added to it per share that z left open
//   alpha       step size of the weight, e^beta
//   p           eligibility of beta
//   zb, h, ht   dz/dbeta, dw/dbeta, and the known part of the next h; between the two halves of a step, ht holds
//               the h of the step before
template <class T>
struct OnlineWeights {
  T *w, *z, *zd;
  T *alpha, *p, *zb, *h, *ht;
};

template <class T>
struct OnlineStep {
  T delta, shift;              // of this transition; what the last step added to the value of its input
  T decay, alpha, bound;       // gamma lambda; step size of a rule without SwiftTD's; largest share of an error
  T meta, lowest, log_shrink;  // SwiftTD
};

template <class T>
struct OnlineSums {
  T shift, rate, overlap;  // dw . x; sum alpha x^2; z . x
};

template <class T>
struct Kernels {
  const char* name;
  int32_t lanes;

  // Coefficients of a step of `k` nominal periods, from nu_log and theta_log (P). k = 1 is bit-identical to the plain
  // form.
  void (*coefficients)(int32_t poles, const T* nu_log, const T* theta_log, T k, const Coefficients<T>& out);

  // u = (W + sum_s a[s] z[s]) x, where a[s] is not 0; W itself is unchanged: update() writes it, since it loads W
  // anyway.
  void (*forward)(const Block<T>& block, const T* a, const T* x, T* u1, T* u2);
  // W <- W + sum_s a[s] z[s].
  void (*apply)(const Block<T>& block, const T* a);
  // The state's step: k1, k2 from h1, h2, u1, u2; output y = f(k) and s = f'.
  void (*state)(int32_t poles, int32_t units_per_pole, bool linear, Activation f, const Coefficients<T>& c, const T* h1,
                const T* h2, const T* u1, const T* u2, T* k1, T* k2, T* y1, T* y2, T* s1, T* s2);

  // W <- W + sum_s a[s] z[s], as forward() saw it; z <- decay z + contraction of the cotangent with the traces, and the
  // traces advance with the coefficients of the last state step. advance_first: false, TD order (the cotangent belongs
  // to the state before); true, supervised order (to the newest state).
  void (*learn_linear)(const Block<T>& block, const T* a, bool advance_first, const Coefficients<T>& c, const T* x,
                       SetCotangent<T>* sets);
  void (*learn_nonlinear)(const Block<T>& block, const T* a, bool advance_first, const Coefficients<T>& c, const T* x,
                          const T* s1, const T* s2, SetCotangent<T>* sets);
  // dx (d) = W1^T c1 + W2^T c2 for each of n_c pairs of cotangents of u1, u2, (G, P) each; n_c is 1 to 3.
  void (*input_backward)(const Block<T>& block, int32_t n_c, const T* const* c1, const T* const* c2, T* const* dx);
  // Linear RTU, one eligibility set: forward() and learn_linear() in TD order in one pass over memory, the same bits.
  void (*step_linear)(const Block<T>& block, const T* a, const Coefficients<T>& c, const T* x, T* u1, T* u2,
                      SetCotangent<T>* sets);
  // Linear RTU, supervised SGD without eligibilities (sets = 0), one step behind: traces advance by px with c, W is
  // updated by the cotangent `scaled` (e times the step) contracted with them, then u = W x; x null: no forward pass.
  void (*step_sgd)(const Block<T>& block, const Coefficients<T>& c, const T* px, const SetCotangent<T>& scaled,
                   const T* x, T* u1, T* u2);
  // learn for nu_log and theta_log. s1, s2 are null for the linear RTU.
  void (*learn_units)(int32_t poles, int32_t units_per_pole, int32_t n_sets, bool advance_first,
                      const Coefficients<T>& c, const T* h1, const T* h2, const T* u1, const T* u2, const T* s1,
                      const T* s2, const UnitTraces<T>& traces, SetCotangent<T>* sets);

  // Dense layer, W (rows, stride): W <- W + sum_s a[s] z[s], then y = W x. n_sets may be 0.
  void (*dense_forward)(int32_t rows, int32_t stride, int32_t n_sets, T* w, T* const* z, const T* a, const T* x, T* y);
  // dx (stride) = W^T c for each of n_c cotangents.
  void (*dense_backward)(int32_t rows, int32_t stride, const T* w, int32_t n_c, const T* const* c, T* const* dx);
  // z <- decay z + c x^T; returns sum |z|.
  T (*dense_learn)(int32_t rows, int32_t stride, T decay, const T* c, const T* x, T* z);

  // theta_log <- theta_log + a z, capped at kMaxThetaLog; and theta_log capped likewise after another rule has moved it
  // from `before`. A value that is already above the cap (from initialisation or a file) does not rise. NaN stays NaN.
  void (*add_phase)(int32_t poles, T a, const T* z, T* theta_log);
  void (*hold_phase)(int32_t poles, const T* before, T* theta_log);

  // y <- y + a x, and z <- decay z + c with sum |z|; n is padded.
  void (*add)(int32_t n, T a, const T* x, T* y);
  T (*decay_add)(int32_t n, T decay, const T* c, T* z);
  // LayerNorm without affine parameters over n of a padded vector, then leaky relu 0.01. xhat keeps the normalised
  // input; returns 1 / deviation.
  T (*norm_relu)(int32_t n, const T* x, T* xhat, T* y);
  // Cotangent of x from the cotangent of y.
  void (*norm_relu_backward)(int32_t n, T inverse_deviation, const T* xhat, const T* dy, T* dx);
  // Kingma and Ba 2015: m <- b1 m + (1 - b1) q, v <- b2 v + (1 - b2) q^2, w <- w + rate m / (sqrt(v unbias2) + eps), q
  // = scale z. Steps of `stride` scalars between vectors of one lane group: n_groups groups, each `width` scalars long
  // (a multiple of the lanes).
  void (*adam)(int32_t n_groups, int32_t width, int32_t stride_w, int32_t stride_m, const AdamStep<T>& step, T* w,
               const T* z, T* m, T* v);
  // Eligibility with a preconditioner: z holds the gradient g; e <- decay e + g, v <- b2 v + (1 - b2) s^2, z <- e / p;
  // adds to sums. Groups as for adam.
  void (*condition)(int32_t n_groups, int32_t width, int32_t stride_z, int32_t stride_m, const ConditionStep<T>& step,
                    T* z, T* e, T* v, ConditionSums<T>& sums);
  // The same for a dense layer, g = c x^T; z is written only.
  void (*dense_condition)(int32_t rows, int32_t stride, const ConditionStep<T>& step, const T* c, const T* x, T* z,
                          T* e, T* v, ConditionSums<T>& sums);

  // LRU: gam = exp(gamma_log), dgam = 0, in place of what coefficients() found (P).
  void (*gains)(int32_t poles, const T* gamma_log, T* gam, T* dgam);
  // LRU: learn for gamma_log; G is dh/dgamma_log (G, P).
  void (*learn_gains)(int32_t poles, int32_t units_per_pole, int32_t n_sets, bool advance_first,
                      const Coefficients<T>& c, const T* u1, const T* u2, T* G1, T* G2, T* const* z,
                      SetCotangent<T>* sets);

  // Cells with gates: the state's step k from h, u1, u2 and the parameters b1, b2 (eLSTM: w1, w2), the gates that the
  // traces advance with, output y = f(k) and s = f'.
  void (*gate)(int32_t units, GateForm form, Activation f, const T* const* parameters, const T* h, const T* u1,
               const T* u2, const Gates<T>& gates, T* k, T* y, T* s);
  // learn_linear() for a cell with gates: S <- K S + a x; only e1 of a set is read.
  void (*learn_gated)(const Block<T>& block, const T* a, bool advance_first, const Gates<T>& gates, const T* x,
                      SetCotangent<T>* sets);
  // learn for its biases (count 2), and for the weights of h too (count 4).
  void (*learn_gates)(int32_t units, int32_t count, int32_t n_sets, bool advance_first, const Gates<T>& gates,
                      const T* h, const GateTraces<T>& traces, SetCotangent<T>* sets);

  // A last layer with a rule of its own: the weights move, then x (stride) enters their eligibilities.
  void (*online)(int32_t stride, const OnlineStep<T>& step, const OnlineWeights<T>& row, const OnlineWeights<T>& bias,
                 const T* x, OnlineSums<T>& sums);

  // W <- keep W + scale (contraction of e1, e2 with the traces, which stay as they are). e2 is not read for kReal.
  void (*descend)(const Block<T>& block, TraceForm form, T keep, T scale, const T* e1, const T* e2);
  // The same for a parameter of poles or units: w <- w + scale sum (e1 re + e2 im); im null: sum e1 re.
  void (*descend_units)(int32_t poles, int32_t units_per_pole, T scale, const T* e1, const T* e2, const T* re,
                        const T* im, T* w);
  // And for a dense layer: W <- keep W + c x^T + d y^T; d null: without the last term.
  void (*dense_descend)(int32_t rows, int32_t stride, T keep, const T* c, const T* x, const T* d, const T* y, T* w);
};

// The coefficients are compiled apart (transform_*.cpp), without contraction: every instruction set gives the same
// bits, so that runs on different hosts differ only by the rounding of sums, and slow poles do not diverge.
template <class T>
using CoefficientsFunction = void(int32_t poles, const T* nu_log, const T* theta_log, T k, const Coefficients<T>& out);
CoefficientsFunction<float> coefficients_scalar, coefficients_sse2, coefficients_avx2, coefficients_avx512,
    coefficients_neon;
CoefficientsFunction<double> coefficients_scalar_double;

// The tables of this build. A null entry: not compiled for this architecture.
extern const Kernels<float>* const kScalar;
extern const Kernels<double>* const kScalarDouble;
extern const Kernels<float>* const kSse2;
extern const Kernels<float>* const kAvx2;
extern const Kernels<float>* const kAvx512;
extern const Kernels<float>* const kNeon;

}  // namespace rtu::kernels
