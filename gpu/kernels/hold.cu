// x_k = a_k x_{k-1} + b_k raw_k where a_k and b_k are those of an interval: x' = Lambda x + raw, held over the time
// Delta_k = step * interval_k, one interval for all channels of a step. Neither a_k nor b_k is ever in memory.
#define TERMS (sizeof(REAL) == 4 ? 12 : 20)  // of the series of phi1' where |z| <= 1: those left out are below eps / 8

// What an interval makes of a channel, z = Lambda Delta. By both rules db/dDelta = a'(z), so that from da and db
// dLambda = Delta conj(slope) da + conj(bend) db and dDelta = Re conj(slope) (conj(Lambda) da + db).
struct Held {
  Complex a, b, slope, bend;  // slope = a'(z), bend = db/dLambda
};

INLINE Complex times(REAL r, Complex a) { return {r * a.re, r * a.im}; }
INLINE REAL squared(Complex a) { return a.re * a.re + a.im * a.im; }
INLINE Complex over(Complex a, Complex b) { return times(1 / squared(b), a * conjugate(b)); }

INLINE void sine_cosine(float x, float* s, float* c) { sincospif(x, s, c); }
INLINE void sine_cosine(double x, double* s, double* c) { sincospi(x, s, c); }

// e^z. Sine and cosine of pi t take large t without a table, and so without a stack: t = im / pi, ``left`` what its rounding left.
INLINE Complex exponential(Complex z) {
  constexpr double inverse = 0.31830988618379067153776752674503, pi = 3.1415926535897932384626433832795;
  constexpr REAL high = (REAL)inverse, low = sizeof(REAL) == 4 ? (REAL)(inverse - (double)high) : (REAL)-1.9678676675182486e-17;
  REAL size = exp(z.re), t = z.im * high, s, c;
  REAL left = (REAL)pi * fma(z.im, low, fma(z.im, high, -t));
  sine_cosine(t, &s, &c);
  return {size * (c - left * s), size * (s + left * c)};
}

// Zero-order hold: a = e^z, b = Delta phi1(z), phi1(z) = (e^z - 1)/z, bend = Delta^2 phi1'(z), phi1'(z) = (e^z - phi1)/z. Both
// quotients cancel near 0: there phi1' is its series, sum (k+1)/(k+2)! z^k, and phi1 = e^z - z phi1', in which nothing cancels.
struct ZOH {
  static INLINE Held of(Complex Lambda, REAL Delta) {
    Complex z = times(Delta, Lambda), a = exponential(z), phi, slope;
    if (squared(z) <= 1) {
      slope = {1, 0};
#pragma unroll
      for (int k = TERMS - 1; k > 0; k--) {  // 1/2 (1 + 2/3 z (1 + 3/8 z (1 + 4/15 z ...
        slope = times((REAL)(k + 1) / (REAL)(k * (k + 2)), z * slope);
        slope.re += 1;
      }
      slope = times((REAL)0.5, slope);
      phi = a + times(-1, z * slope);
    } else {
      phi = over({a.re - 1, a.im}, z);
      slope = over(a + times(-1, phi), z);
    }
    return {a, times(Delta, phi), a, times(Delta, times(Delta, slope))};
  }
};

// The bilinear rule, s = 1/(1 - z/2): a = (1 + z/2) s, b = Delta s, a' = s^2, bend = Delta^2 s^2 / 2.
struct Bilinear {
  static INLINE Held of(Complex Lambda, REAL Delta) {
    Complex half = times(Delta / 2, Lambda), s = over({1, 0}, {1 - half.re, -half.im}), slope = s * s;
    return {Complex{1 + half.re, half.im} * s, times(Delta, s), slope, times(Delta * Delta / 2, slope)};
  }
};

struct Channels {
  const Complex* Lambda;
  const REAL *step, *intervals;
};
struct Channel {  // one of them
  Complex Lambda;
  REAL step;
};
INLINE Channel channel(const Place& at, const Channels& all) {
  if (!at.inside) return {{0, 0}, 0};
  return {all.Lambda[at.channel], all.step[at.channel]};
}

// x0 (N, P): the state entering step 0, or null: zero. last (N, P): the state leaving the last step.
template <class Rule>
INLINE void hold(Channels all, const Complex* raw, const Complex* x0, Complex* x, Complex* last, Chain chain, Sizes s,
                 Exchange& exchange) {
  const Place at = place(s, chain, exchange);
  const Channel own = channel(at, all);
  const Index nth = at.n * s.P + at.channel;
  auto load = [&](Index k, int) -> Map {
    return {{all.intervals[at_row(at, s, k)], 0}, raw[at_step(at, s, k)]};
  };
  auto make = [&](Complex& a, Complex& b) {
    Held held = Rule::of(own.Lambda, own.step * a.re);
    a = held.a;
    b = held.b * b;
  };
  auto store = [&](Index k, int, Complex value) {
    x[at_step(at, s, k)] = value;
    if (k == s.L - 1) last[nth] = value;
  };
  walk<true>(at, s, chain, {0, 0}, x0 && at.inside ? x0[nth] : Complex{0, 0}, exchange, load, make, store);
}

// g_k = dx_k + conj(a_{k+1}) g_{k+1}, as in scan.cu. draw = conj(b_k) g_k, ``onto`` what draw holds or over it. da = g_k conj(x_{k-1})
// and db = g_k conj(raw_k) are summed over a chunk as they arrive at the channel: sums (N, chunks, 3, P), of dLambda the real and
// the imaginary part, and dstep.
struct Cotangents {
  const Complex *dx, *dx_last;
};
template <class Rule>
INLINE void adjoint(Channels all, const Complex* raw, const Complex* x, const Complex* x0, Cotangents d, bool onto, Complex* draw,
                    REAL* sums, Complex* dx0, Chain chain, Sizes s, Exchange& exchange) {
  const Place at = place(s, chain, exchange);
  const Channel own = channel(at, all);
  const Complex zero = {0, 0};
  const Index nth = at.n * s.P + at.channel;
  Complex dLambda = zero, previous[STEPS], input[STEPS];
  REAL dstep = 0, interval[STEPS];
  auto load = [&](Index m, int i) -> Map {
    Index k = s.L - 1 - m;
    Complex value = d.dx ? d.dx[at_step(at, s, k)] : zero;
    if (m == 0 && d.dx_last) value = value + d.dx_last[nth];
    previous[i] = k ? x[at_step(at, s, k - 1)] : x0 ? x0[nth] : zero;
    input[i] = raw[at_step(at, s, k)];
    interval[i] = all.intervals[at_row(at, s, k)];
    return {{m ? all.intervals[at_row(at, s, k + 1)] : 0, 0}, value};  // over no time, a = 1
  };
  auto make = [&](Complex& a, Complex&) { a = conjugate(Rule::of(own.Lambda, own.step * a.re).a); };
  auto store = [&](Index m, int i, Complex g) {
    Index k = s.L - 1 - m, j = at_step(at, s, k);
    REAL Delta = own.step * interval[i];
    Held held = Rule::of(own.Lambda, Delta);
    Complex da = g * conjugate(previous[i]), db = g * conjugate(input[i]), d = conjugate(held.b) * g;
    draw[j] = onto ? draw[j] + d : d;
    dLambda = dLambda + (times(Delta, conjugate(held.slope) * da) + conjugate(held.bend) * db);
    dstep += interval[i] * (conjugate(held.slope) * (conjugate(own.Lambda) * da + db)).re;
    if (k == 0) dx0[nth] = conjugate(held.a) * g;
  };
  walk<true>(at, s, chain, zero, zero, exchange, load, make, store);
  dLambda = over_chunk(at, dLambda, exchange.tile[0].b);
  dstep = over_chunk(at, {dstep, 0}, exchange.tile[0].a).re;
  if (!leads(at)) return;
  REAL* to = sums + (at.n * at.chunks + at.chunk) * 3 * s.P + at.channel;
  to[0] = dLambda.re;
  to[s.P] = dLambda.im;
  to[2 * s.P] = dstep;
}

KERNEL __launch_bounds__(LANES* WARPS, RESIDENT) hold_zoh(const Complex* __restrict__ Lambda, const REAL* __restrict__ step,
    const REAL* __restrict__ intervals, const Complex* __restrict__ raw, const Complex* __restrict__ x0, Complex* __restrict__ x,
    Complex* __restrict__ last, unsigned* flags, Complex* effects, Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  hold<ZOH>({Lambda, step, intervals}, raw, x0, x, last, {flags, effects}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, RESIDENT) hold_bilinear(const Complex* __restrict__ Lambda, const REAL* __restrict__ step,
    const REAL* __restrict__ intervals, const Complex* __restrict__ raw, const Complex* __restrict__ x0, Complex* __restrict__ x,
    Complex* __restrict__ last, unsigned* flags, Complex* effects, Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  hold<Bilinear>({Lambda, step, intervals}, raw, x0, x, last, {flags, effects}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, RESIDENT) adjoint_zoh(const Complex* __restrict__ Lambda, const REAL* __restrict__ step,
    const REAL* __restrict__ intervals, const Complex* __restrict__ raw, const Complex* __restrict__ x,
    const Complex* __restrict__ x0, const Complex* __restrict__ dx, const Complex* __restrict__ dx_last, int onto,
    Complex* __restrict__ draw, REAL* __restrict__ sums, Complex* __restrict__ dx0, unsigned* flags, Complex* effects, Index N,
    Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  adjoint<ZOH>({Lambda, step, intervals}, raw, x, x0, {dx, dx_last}, onto != 0, draw, sums, dx0, {flags, effects},
                {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, RESIDENT) adjoint_bilinear(const Complex* __restrict__ Lambda, const REAL* __restrict__ step,
    const REAL* __restrict__ intervals, const Complex* __restrict__ raw, const Complex* __restrict__ x,
    const Complex* __restrict__ x0, const Complex* __restrict__ dx, const Complex* __restrict__ dx_last, int onto,
    Complex* __restrict__ draw, REAL* __restrict__ sums, Complex* __restrict__ dx0, unsigned* flags, Complex* effects, Index N,
    Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  adjoint<Bilinear>({Lambda, step, intervals}, raw, x, x0, {dx, dx_last}, onto != 0, draw, sums, dx0, {flags, effects},
                {N, L, P, reverse != 0}, exchange);
}
