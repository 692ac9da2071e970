// x_k = a_k x_{k-1} + b_k over (N, L, P), and its adjoint.

// x0 (N, P): the state entering step 0, or null: zero. last (N, P): the state leaving the last step.
template <bool VARYING>
INLINE void scan(const Complex* multipliers, const Complex* inputs, const Complex* x0, Complex* x, Complex* last, Lookback lookback,
                 Sizes s, Exchange& exchange) {
  const Slot at = slot_of_block(s, lookback, exchange);
  const Complex zero = {0, 0};
  const Index nth = at.n * s.P + at.channel;
  Complex a = !VARYING && at.inside ? multipliers[at.channel] : zero;
  auto load = [&](Index k, int) -> Map {
    Index j = step_index(at, s, k);
    return {VARYING ? multipliers[j] : a, inputs[j]};
  };
  auto store = [&](Index k, int, Complex value) {
    x[step_index(at, s, k)] = value;
    if (k == s.L - 1) last[nth] = value;
  };
  row_loop<VARYING>(at, s, lookback, a, x0 && at.inside ? x0[nth] : zero, exchange, load, Unchanged(), store);
}

// g_k = dx_k + conj(a_{k+1}) g_{k+1} from the last step to the first, dx_last added to the last; g is the cotangent of b.
// da = g_k conj(x_{k-1}): per step (N, L, P) if a varies, else the chunk's sum (N, chunks, P). dx0 = conj(a_0) g_0.
struct Cotangents {
  const Complex *dx, *dx_last;
};
template <bool VARYING>
INLINE void adjoint(const Complex* multipliers, const Complex* x, const Complex* x0, Cotangents d, Complex* g, Complex* da,
                    Complex* dx0, Lookback lookback, Sizes s, Exchange& exchange) {
  const Slot at = slot_of_block(s, lookback, exchange);
  const Complex zero = {0, 0}, one = {1, 0};
  const Index nth = at.n * s.P + at.channel;
  Complex a = !VARYING && at.inside ? conjugate(multipliers[at.channel]) : zero;
  Complex sum = zero, previous[STEPS];
  auto load = [&](Index m, int i) -> Map {
    Index k = s.L - 1 - m;
    Complex value = d.dx ? d.dx[step_index(at, s, k)] : zero;
    if (m == 0 && d.dx_last) value = value + d.dx_last[nth];
    previous[i] = k ? x[step_index(at, s, k - 1)] : x0 ? x0[nth] : zero;
    return {!VARYING ? a : m ? conjugate(multipliers[step_index(at, s, k + 1)]) : one, value};
  };
  auto store = [&](Index m, int i, Complex value) {
    Index k = s.L - 1 - m;
    g[step_index(at, s, k)] = value;
    Complex dk = value * conjugate(previous[i]);
    if (VARYING) da[step_index(at, s, k)] = dk;
    else sum = sum + dk;
    if (k == 0) dx0[nth] = (VARYING ? conjugate(multipliers[step_index(at, s, 0)]) : a) * value;
  };
  row_loop<VARYING>(at, s, lookback, a, zero, exchange, load, Unchanged(), store);
  if constexpr (!VARYING) {
    sum = sum_over_chunk(at, sum, exchange.tile[0].b);
    if (first_thread(at)) da[chunk_index(at, s, at.chunk)] = sum;
  }
}

KERNEL __launch_bounds__(LANES* WARPS, MIN_BLOCKS) scan_constant(const Complex* __restrict__ multipliers,
    const Complex* __restrict__ inputs, const Complex* __restrict__ x0, Complex* __restrict__ x, Complex* __restrict__ last,
    unsigned* flags, Complex* published, Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  scan<false>(multipliers, inputs, x0, x, last, {flags, published}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, MIN_BLOCKS) scan_varying(const Complex* __restrict__ multipliers,
    const Complex* __restrict__ inputs, const Complex* __restrict__ x0, Complex* __restrict__ x, Complex* __restrict__ last,
    unsigned* flags, Complex* published, Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  scan<true>(multipliers, inputs, x0, x, last, {flags, published}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, MIN_BLOCKS) adjoint_constant(const Complex* __restrict__ multipliers,
    const Complex* __restrict__ x, const Complex* __restrict__ x0, const Complex* __restrict__ dx,
    const Complex* __restrict__ dx_last, Complex* __restrict__ g, Complex* __restrict__ da, Complex* __restrict__ dx0,
    unsigned* flags, Complex* published, Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  adjoint<false>(multipliers, x, x0, {dx, dx_last}, g, da, dx0, {flags, published}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, MIN_BLOCKS) adjoint_varying(const Complex* __restrict__ multipliers,
    const Complex* __restrict__ x, const Complex* __restrict__ x0, const Complex* __restrict__ dx,
    const Complex* __restrict__ dx_last, Complex* __restrict__ g, Complex* __restrict__ da, Complex* __restrict__ dx0,
    unsigned* flags, Complex* published, Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  adjoint<true>(multipliers, x, x0, {dx, dx_last}, g, da, dx0, {flags, published}, {N, L, P, reverse != 0}, exchange);
}
