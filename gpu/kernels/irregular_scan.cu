// Irregular sampling: x_k = a_k x_{k-1} + b_k raw_k. A discretisation rule computes a_k and b_k from Lambda and the length of the
// step, Delta_k = step * interval_k, with one interval for all channels of a step. Neither a_k nor b_k is ever in memory.
#define TERMS (sizeof(REAL) == 4 ? 12 : 20)  // of the series of phi1' for |z| <= 1: the rest is below eps / 8

// What a rule computes for a channel and a step, z = Lambda Delta. UNIT_GAIN says that a rule has b = 1 whatever Lambda and Delta
// are; for every other rule here db/dDelta = a'(z). So dLambda = Delta conj(a') da + conj(db/dLambda) db and
// dDelta = Re conj(a') (conj(Lambda) da + db), where db counts as 0 with UNIT_GAIN.
struct StepCoefficients {
  Complex a, b, da_dz, db_dLambda;
};

INLINE Complex scaled(REAL r, Complex a) { return {r * a.re, r * a.im}; }
INLINE REAL squared_norm(Complex a) { return a.re * a.re + a.im * a.im; }
INLINE Complex quotient(Complex a, Complex b) { return scaled(1 / squared_norm(b), a * conjugate(b)); }

INLINE void sine_cosine(float x, float* s, float* c) { sincospif(x, s, c); }
INLINE void sine_cosine(double x, double* s, double* c) { sincospi(x, s, c); }

// e^z. sincospi(t) reduces a large t without a table, so without a stack, unlike sincos. t = im / pi is rounded, and ``left`` is
// the error of that rounding times pi, which is put back to first order.
INLINE Complex exponential(Complex z) {
  constexpr double inverse = 0.31830988618379067153776752674503, pi = 3.1415926535897932384626433832795;
  constexpr REAL high = (REAL)inverse, low = sizeof(REAL) == 4 ? (REAL)(inverse - (double)high) : (REAL)-1.9678676675182486e-17;
  REAL size = exp(z.re), t = z.im * high, s, c;
  REAL left = (REAL)pi * fma(z.im, low, fma(z.im, high, -t));
  sine_cosine(t, &s, &c);
  return {size * (c - left * s), size * (s + left * c)};
}

// Zero-order hold: a = e^z, b = Delta phi1(z), phi1(z) = (e^z - 1)/z, db/dLambda = Delta^2 phi1'(z), phi1'(z) = (e^z - phi1)/z.
// Both quotients cancel near 0. There phi1' is its series, sum (k+1)/(k+2)! z^k, and phi1 = e^z - z phi1', where nothing cancels.
struct ZOH {
  static constexpr bool UNIT_GAIN = false;
  static INLINE StepCoefficients coefficients(Complex Lambda, REAL Delta) {
    Complex z = scaled(Delta, Lambda), a = exponential(z), phi, slope;
    if (squared_norm(z) <= 1) {
      slope = {1, 0};
#pragma unroll
      for (int k = TERMS - 1; k > 0; k--) {  // 1/2 (1 + 2/3 z (1 + 3/8 z (1 + 4/15 z ...
        slope = scaled((REAL)(k + 1) / (REAL)(k * (k + 2)), z * slope);
        slope.re += 1;
      }
      slope = scaled((REAL)0.5, slope);
      phi = a + scaled(-1, z * slope);
    } else {
      phi = quotient({a.re - 1, a.im}, z);
      slope = quotient(a + scaled(-1, phi), z);
    }
    return {a, scaled(Delta, phi), a, scaled(Delta, scaled(Delta, slope))};
  }
};

// The bilinear rule, s = 1/(1 - z/2): a = (1 + z/2) s, b = Delta s, a' = s^2, db/dLambda = Delta^2 s^2 / 2.
struct Bilinear {
  static constexpr bool UNIT_GAIN = false;
  static INLINE StepCoefficients coefficients(Complex Lambda, REAL Delta) {
    Complex half = scaled(Delta / 2, Lambda), s = quotient({1, 0}, {1 - half.re, -half.im}), slope = s * s;
    return {Complex{1 + half.re, half.im} * s, scaled(Delta, s), slope, scaled(Delta * Delta / 2, slope)};
  }
};

// The inputs are impulses: a = e^z, b = 1.
struct Dirac {
  static constexpr bool UNIT_GAIN = true;
  static INLINE StepCoefficients coefficients(Complex Lambda, REAL Delta) {
    Complex a = exponential(scaled(Delta, Lambda));
    return {a, {1, 0}, a, {0, 0}};
  }
};

struct Channels {
  const Complex* Lambda;
  const REAL *step, *intervals;
};
struct Channel {  // of a thread
  Complex Lambda;
  REAL step;
};
INLINE Channel channel(const Slot& at, const Channels& all) {
  if (!at.inside) return {{0, 0}, 0};
  return {all.Lambda[at.channel], all.step[at.channel]};
}

// x0 (N, P): the state entering step 0, or null: zero. last (N, P): the state leaving the last step.
template <class Rule>
INLINE void irregular_scan(Channels all, const Complex* raw, const Complex* x0, Complex* x, Complex* last, Lookback lookback,
                           Sizes s, Exchange& exchange) {
  const Slot at = slot_of_block(s, lookback, exchange);
  const Channel own = channel(at, all);
  const Index nth = at.n * s.P + at.channel;
  auto load = [&](Index k, int) -> Map {
    return {{all.intervals[row_index(at, s, k)], 0}, raw[step_index(at, s, k)]};
  };
  auto make = [&](Complex& a, Complex& b) {
    StepCoefficients c = Rule::coefficients(own.Lambda, own.step * a.re);
    a = c.a;
    b = c.b * b;
  };
  auto store = [&](Index k, int, Complex value) {
    x[step_index(at, s, k)] = value;
    if (k == s.L - 1) last[nth] = value;
  };
  row_loop<true>(at, s, lookback, {0, 0}, x0 && at.inside ? x0[nth] : Complex{0, 0}, exchange, load, make, store);
}

// g_k = dx_k + conj(a_{k+1}) g_{k+1}, as in scan.cu. draw_k = conj(b_k) g_k, added to what draw holds if ``accumulate``. From
// da_k = g_k conj(x_{k-1}) and db_k = g_k conj(raw_k) follow dLambda and dstep, summed over a chunk: sums (N, chunks, 3, P) are the
// real and the imaginary part of dLambda, and dstep.
struct Cotangents {
  const Complex *dx, *dx_last;
};
template <class Rule>
INLINE void adjoint(Channels all, const Complex* raw, const Complex* x, const Complex* x0, Cotangents d, bool accumulate,
                    Complex* draw, REAL* sums, Complex* dx0, Lookback lookback, Sizes s, Exchange& exchange) {
  const Slot at = slot_of_block(s, lookback, exchange);
  const Channel own = channel(at, all);
  const Complex zero = {0, 0};
  const Index nth = at.n * s.P + at.channel;
  Complex dLambda = zero, previous[STEPS], input[STEPS];
  REAL dstep = 0, interval[STEPS];
  auto load = [&](Index m, int i) -> Map {
    Index k = s.L - 1 - m;
    Complex value = d.dx ? d.dx[step_index(at, s, k)] : zero;
    if (m == 0 && d.dx_last) value = value + d.dx_last[nth];
    previous[i] = k ? x[step_index(at, s, k - 1)] : x0 ? x0[nth] : zero;
    input[i] = raw[step_index(at, s, k)];
    interval[i] = all.intervals[row_index(at, s, k)];
    return {{m ? all.intervals[row_index(at, s, k + 1)] : 0, 0}, value};  // a = 1 for an interval of 0
  };
  auto make = [&](Complex& a, Complex&) { a = conjugate(Rule::coefficients(own.Lambda, own.step * a.re).a); };
  auto store = [&](Index m, int i, Complex g) {
    Index k = s.L - 1 - m, j = step_index(at, s, k);
    REAL Delta = own.step * interval[i];
    StepCoefficients c = Rule::coefficients(own.Lambda, Delta);
    Complex da = g * conjugate(previous[i]), db = Rule::UNIT_GAIN ? zero : g * conjugate(input[i]), d = conjugate(c.b) * g;
    draw[j] = accumulate ? draw[j] + d : d;
    dLambda = dLambda + (scaled(Delta, conjugate(c.da_dz) * da) + conjugate(c.db_dLambda) * db);
    dstep += interval[i] * (conjugate(c.da_dz) * (conjugate(own.Lambda) * da + db)).re;
    if (k == 0) dx0[nth] = conjugate(c.a) * g;
  };
  row_loop<true>(at, s, lookback, zero, zero, exchange, load, make, store);
  dLambda = sum_over_chunk(at, dLambda, exchange.tile[0].b);
  dstep = sum_over_chunk(at, {dstep, 0}, exchange.tile[0].a).re;
  if (!first_thread(at)) return;
  REAL* to = sums + (at.n * at.chunks + at.chunk) * 3 * s.P + at.channel;
  to[0] = dLambda.re;
  to[s.P] = dLambda.im;
  to[2 * s.P] = dstep;
}

KERNEL __launch_bounds__(LANES* WARPS, MIN_BLOCKS) irregular_scan_zoh(const Complex* __restrict__ Lambda,
    const REAL* __restrict__ step, const REAL* __restrict__ intervals, const Complex* __restrict__ raw,
    const Complex* __restrict__ x0, Complex* __restrict__ x, Complex* __restrict__ last, unsigned* flags, Complex* published,
    Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  irregular_scan<ZOH>({Lambda, step, intervals}, raw, x0, x, last, {flags, published}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, MIN_BLOCKS) irregular_scan_bilinear(const Complex* __restrict__ Lambda,
    const REAL* __restrict__ step, const REAL* __restrict__ intervals, const Complex* __restrict__ raw,
    const Complex* __restrict__ x0, Complex* __restrict__ x, Complex* __restrict__ last, unsigned* flags, Complex* published,
    Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  irregular_scan<Bilinear>({Lambda, step, intervals}, raw, x0, x, last, {flags, published}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, MIN_BLOCKS) irregular_scan_dirac(const Complex* __restrict__ Lambda,
    const REAL* __restrict__ step, const REAL* __restrict__ intervals, const Complex* __restrict__ raw,
    const Complex* __restrict__ x0, Complex* __restrict__ x, Complex* __restrict__ last, unsigned* flags, Complex* published,
    Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  irregular_scan<Dirac>({Lambda, step, intervals}, raw, x0, x, last, {flags, published}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, MIN_BLOCKS) adjoint_zoh(const Complex* __restrict__ Lambda, const REAL* __restrict__ step,
    const REAL* __restrict__ intervals, const Complex* __restrict__ raw, const Complex* __restrict__ x,
    const Complex* __restrict__ x0, const Complex* __restrict__ dx, const Complex* __restrict__ dx_last, int accumulate,
    Complex* __restrict__ draw, REAL* __restrict__ sums, Complex* __restrict__ dx0, unsigned* flags, Complex* published,
    Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  adjoint<ZOH>({Lambda, step, intervals}, raw, x, x0, {dx, dx_last}, accumulate != 0, draw, sums, dx0, {flags, published},
              {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, MIN_BLOCKS) adjoint_bilinear(const Complex* __restrict__ Lambda,
    const REAL* __restrict__ step, const REAL* __restrict__ intervals, const Complex* __restrict__ raw, const Complex* __restrict__ x,
    const Complex* __restrict__ x0, const Complex* __restrict__ dx, const Complex* __restrict__ dx_last, int accumulate,
    Complex* __restrict__ draw, REAL* __restrict__ sums, Complex* __restrict__ dx0, unsigned* flags, Complex* published,
    Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  adjoint<Bilinear>({Lambda, step, intervals}, raw, x, x0, {dx, dx_last}, accumulate != 0, draw, sums, dx0, {flags, published},
              {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, MIN_BLOCKS) adjoint_dirac(const Complex* __restrict__ Lambda, const REAL* __restrict__ step,
    const REAL* __restrict__ intervals, const Complex* __restrict__ raw, const Complex* __restrict__ x,
    const Complex* __restrict__ x0, const Complex* __restrict__ dx, const Complex* __restrict__ dx_last, int accumulate,
    Complex* __restrict__ draw, REAL* __restrict__ sums, Complex* __restrict__ dx0, unsigned* flags, Complex* published,
    Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  adjoint<Dirac>({Lambda, step, intervals}, raw, x, x0, {dx, dx_last}, accumulate != 0, draw, sums, dx0, {flags, published},
              {N, L, P, reverse != 0}, exchange);
}
