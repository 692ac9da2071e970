// x_k = a_k x_{k-1} + b_k over (N, L, P), and its adjoint.
//
// A block owns CHANNELS channels of one sequence and walks its steps tile by tile, the state in registers. In a tile a thread
// owns STEPS consecutive steps; the rows of a warp follow each other in time, then the warps. One barrier a tile.
// CHAINED, for few sequences: a block owns one tile of the steps, a chunk, and learns from the blocks before it which state
// enters; `enter` says how. Every sum has one order, which the shapes alone decide.
// Runs x = a x + b over the steps of a chunk from ``state``: load(step, i) gives the step's map, store(step, i, x) takes its
// state. The loaded values stay in registers between the two.
template <bool VARYING, class Load, class Store>
INLINE void walk(const Place& at, Sizes s, const Chain& chain, Complex a, Complex state, Exchange& exchange, Load load,
                 Store store) {
  const Complex zero = {0, 0}, one = {1, 0};
  const Powers constant = powers<STEPS>(at, a);
  int turn = 0;
  for (Index tile = at.begin; tile < at.end; tile += TILE, turn ^= 1) {
    Index first = tile + (at.warp * ROWS + at.row) * STEPS;
    Complex multiplier[STEPS], value[STEPS];
#pragma unroll
    for (int i = 0; i < STEPS; i++) {
      Map step = {one, zero};
      if (at.inside && first + i < at.end) step = load(first + i, i);
      multiplier[i] = VARYING ? step.a : a;
      value[i] = step.b;
    }
    Map before = compose<VARYING, STEPS>(at, constant, multiplier, value, exchange.tile[turn]);
    __syncthreads();
    if (CHAINED) state = enter<VARYING>(at, s, chain, a, constant, state, exchange.tile[turn], exchange.before);
    Complex entering = state;
#pragma unroll
    for (int w = 0; w < WARPS; w++) {  // 3. the warps; every thread carries the state on
      if (w == at.warp) entering = state;
      Complex factor = VARYING ? exchange.tile[turn].a[w][at.column] : constant.warp;
      state = factor * state + exchange.tile[turn].b[w][at.column];
    }
    if (CHAINED) leave<VARYING>(at, s, chain, state);
    Complex x = before.a * entering + before.b;
#pragma unroll
    for (int i = 0; i < STEPS; i++) {  // 4. apply
      x = multiplier[i] * x + value[i];
      if (at.inside && first + i < at.end) store(first + i, i, x);
    }
    if (CHAINED) break;  // the compiler does not see that a chunk is one tile
  }
}

// x0 (N, P): the state entering step 0, or null: zero. last (N, P): the state leaving the last step.
template <bool VARYING>
INLINE void scan(const Complex* multipliers, const Complex* inputs, const Complex* x0, Complex* x, Complex* last, Chain chain,
                 Sizes s, Exchange& exchange) {
  const Place at = place(s, chain, exchange);
  const Complex zero = {0, 0};
  const Index nth = at.n * s.P + at.channel;
  Complex a = !VARYING && at.inside ? multipliers[at.channel] : zero;
  auto load = [&](Index k, int) -> Map {
    Index j = at_step(at, s, k);
    return {VARYING ? multipliers[j] : a, inputs[j]};
  };
  auto store = [&](Index k, int, Complex value) {
    x[at_step(at, s, k)] = value;
    if (k == s.L - 1) last[nth] = value;
  };
  walk<VARYING>(at, s, chain, a, x0 && at.inside ? x0[nth] : zero, exchange, load, store);
}

// g_k = dx_k + conj(a_{k+1}) g_{k+1} from the last step to the first, dx_last added to the last; g is the cotangent of b.
// da = g_k conj(x_{k-1}): per step (N, L, P) if a varies, else the chunk's sum (N, chunks, P). dx0 = conj(a_0) g_0.
struct Cotangents {
  const Complex *dx, *dx_last;
};
template <bool VARYING>
INLINE void adjoint(const Complex* multipliers, const Complex* x, const Complex* x0, Cotangents d, Complex* g, Complex* da,
                    Complex* dx0, Chain chain, Sizes s, Exchange& exchange) {
  const Place at = place(s, chain, exchange);
  const Complex zero = {0, 0}, one = {1, 0};
  const Index nth = at.n * s.P + at.channel;
  Complex a = !VARYING && at.inside ? conjugate(multipliers[at.channel]) : zero;
  Complex sum = zero, previous[STEPS];
  auto load = [&](Index m, int i) -> Map {
    Index k = s.L - 1 - m;
    Complex value = d.dx ? d.dx[at_step(at, s, k)] : zero;
    if (m == 0 && d.dx_last) value = value + d.dx_last[nth];
    previous[i] = k ? x[at_step(at, s, k - 1)] : x0 ? x0[nth] : zero;
    return {!VARYING ? a : m ? conjugate(multipliers[at_step(at, s, k + 1)]) : one, value};
  };
  auto store = [&](Index m, int i, Complex value) {
    Index k = s.L - 1 - m;
    g[at_step(at, s, k)] = value;
    Complex dk = value * conjugate(previous[i]);
    if (VARYING) da[at_step(at, s, k)] = dk;
    else sum = sum + dk;
    if (k == 0) dx0[nth] = (VARYING ? conjugate(multipliers[at_step(at, s, 0)]) : a) * value;
  };
  walk<VARYING>(at, s, chain, a, zero, exchange, load, store);
  if constexpr (!VARYING) {
#pragma unroll
    for (int d = 1; d < ROWS; d *= 2) sum = sum + shuffle_down(sum, d * CHANNELS);
    __syncthreads();  // the last tile may still be read
    Warps& room = exchange.tile[0];
    if (at.row == 0) room.b[at.warp][at.column] = sum;
    __syncthreads();
    if (at.warp || at.row || !at.inside) return;
    for (int w = 1; w < WARPS; w++) sum = sum + room.b[w][at.column];
    da[at_chunk(at, s, at.chunk)] = sum;
  }
}

KERNEL __launch_bounds__(LANES* WARPS, RESIDENT) scan_constant(const Complex* __restrict__ multipliers,
    const Complex* __restrict__ inputs, const Complex* __restrict__ x0, Complex* __restrict__ x, Complex* __restrict__ last,
    unsigned* flags, Complex* effects, Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  scan<false>(multipliers, inputs, x0, x, last, {flags, effects}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, RESIDENT) scan_varying(const Complex* __restrict__ multipliers,
    const Complex* __restrict__ inputs, const Complex* __restrict__ x0, Complex* __restrict__ x, Complex* __restrict__ last,
    unsigned* flags, Complex* effects, Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  scan<true>(multipliers, inputs, x0, x, last, {flags, effects}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, RESIDENT) adjoint_constant(const Complex* __restrict__ multipliers,
    const Complex* __restrict__ x, const Complex* __restrict__ x0, const Complex* __restrict__ dx,
    const Complex* __restrict__ dx_last, Complex* __restrict__ g, Complex* __restrict__ da, Complex* __restrict__ dx0,
    unsigned* flags, Complex* effects, Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  adjoint<false>(multipliers, x, x0, {dx, dx_last}, g, da, dx0, {flags, effects}, {N, L, P, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS, RESIDENT) adjoint_varying(const Complex* __restrict__ multipliers,
    const Complex* __restrict__ x, const Complex* __restrict__ x0, const Complex* __restrict__ dx,
    const Complex* __restrict__ dx_last, Complex* __restrict__ g, Complex* __restrict__ da, Complex* __restrict__ dx0,
    unsigned* flags, Complex* effects, Index N, Index L, int P, int reverse) {
  __shared__ Exchange exchange;
  adjoint<true>(multipliers, x, x0, {dx, dx_last}, g, da, dx0, {flags, effects}, {N, L, P, reverse != 0}, exchange);
}
