// x_k = a_k x_{k-1} + b_k over (N, L, P), its carries between chunks of steps, and its adjoint.
//
// A block owns one sequence, one chunk of its steps and CHANNELS channels, and walks the chunk tile by tile. In a tile a thread
// owns STEPS consecutive steps; the rows of a warp follow each other in time, then the warps. One barrier a tile.
// A chunk alone is the whole sequence (one pass); of several, the first pass keeps only what each chunk does to its entering
// state, `carry` chains these, and the second pass stores. Sums have one order, which the shapes alone decide.
#ifndef CHANNELS
#define CHANNELS 32
#endif
#ifndef STEPS
#define STEPS 8
#endif
#ifndef WARPS
#define WARPS 8
#endif
#define ROWS (LANES / CHANNELS)
#define TILE (WARPS * ROWS * STEPS)

struct Map {  // x -> a x + b
  Complex a, b;
};

struct Exchange {  // between warps, two tiles in turn: a slow warp still reads one while a fast one writes the other
  Complex a[2][WARPS][CHANNELS], b[2][WARPS][CHANNELS];
};

struct Sizes {
  Index L;
  int P, chunks;
  Index length;  // steps of a chunk
  bool reverse;
};

struct Place {
  int column, row, warp, channel, chunk;
  Index n, begin, end;
  bool inside;
};

INLINE Place place(Sizes s) {
  int groups = (s.P + CHANNELS - 1) / CHANNELS, lane = threadIdx.x % LANES;
  Index sequence = blockIdx.x / groups;
  int chunk = (int)(sequence % s.chunks), channel = (int)(blockIdx.x % groups) * CHANNELS + lane % CHANNELS;
  Index begin = chunk * s.length, end = begin + s.length;
  return {lane % CHANNELS, lane / CHANNELS, (int)threadIdx.x / LANES, channel, chunk,
          sequence / s.chunks, begin, end < s.L ? end : s.L, channel < s.P};
}

// Where step k (in the order of the scan), and the chunk's own entry, are stored.
INLINE Index at_step(const Place& at, Sizes s, Index k) {
  return (at.n * s.L + (s.reverse ? s.L - 1 - k : k)) * s.P + at.channel;
}
INLINE Index at_chunk(const Place& at, Sizes s) { return (at.n * s.chunks + at.chunk) * s.P + at.channel; }

// Runs x = a x + b over the steps of a chunk from ``state``: load(step, i) gives the step's map, store(step, i, x) takes its
// state. Returns the product of all multipliers if they vary; a constant one needs no map but its own powers.
template <bool VARYING, class Load, class Store>
INLINE Complex walk(const Place& at, Complex a, Complex state, Exchange& exchange, Load load, Store store) {
  const Complex zero = {0, 0}, one = {1, 0};
  const Complex a_own = power(a, STEPS), a_warp = power(a, STEPS * ROWS), a_before = power(a, STEPS * at.row);
  Complex product = one;
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
    Map own = {VARYING ? multiplier[0] : a_own, value[0]};  // 1. the thread's steps
#pragma unroll
    for (int i = 1; i < STEPS; i++) {
      own.b = multiplier[i] * own.b + value[i];
      if (VARYING) own.a = multiplier[i] * own.a;
    }
#pragma unroll
    for (int d = 1; d < ROWS; d *= 2) {  // 2. the rows of the warp up to and with its own
      Map earlier = {VARYING ? shuffle_up(own.a, d * CHANNELS) : one, shuffle_up(own.b, d * CHANNELS)};
      if (at.row >= d) {
        own.b = own.a * earlier.b + own.b;
        if (VARYING) own.a = own.a * earlier.a;
      }
      if (!VARYING) own.a = own.a * own.a;
    }
    Map before = {one, zero};
    if (ROWS > 1) {
      before = {VARYING ? shuffle_up(own.a, CHANNELS) : a_before, shuffle_up(own.b, CHANNELS)};
      if (at.row == 0) before = {one, zero};
    }
    if (at.row == ROWS - 1) {
      if (VARYING) exchange.a[turn][at.warp][at.column] = own.a;
      exchange.b[turn][at.warp][at.column] = own.b;
    }
    __syncthreads();
    Complex entering = state;
#pragma unroll
    for (int w = 0; w < WARPS; w++) {  // 3. the warps; every thread carries the state on
      if (w == at.warp) entering = state;
      Complex factor = VARYING ? exchange.a[turn][w][at.column] : a_warp;
      state = factor * state + exchange.b[turn][w][at.column];
      if (VARYING) product = factor * product;
    }
    Complex x = before.a * entering + before.b;
#pragma unroll
    for (int i = 0; i < STEPS; i++) {  // 4. apply
      x = multiplier[i] * x + value[i];
      if (at.inside && first + i < at.end) store(first + i, i, x);
    }
  }
  return product;
}

// start (N, chunks, P): the state entering every chunk, or null: zero. last (N, chunks, P): the state leaving it.
// x null: only last, and with varying multipliers their product (N, chunks, P).
template <bool VARYING>
INLINE void scan(const Complex* multipliers, const Complex* inputs, const Complex* start, Complex* x, Complex* last,
                 Complex* product, Sizes s, Exchange& exchange) {
  const Place at = place(s);
  const Complex zero = {0, 0};
  Complex a = !VARYING && at.inside ? multipliers[at.channel] : zero;
  Complex state = start && at.inside ? start[at_chunk(at, s)] : zero;
  auto load = [&](Index k, int) -> Map {
    Index j = at_step(at, s, k);
    return {VARYING ? multipliers[j] : a, inputs[j]};
  };
  auto store = [&](Index k, int, Complex value) {
    if (x) x[at_step(at, s, k)] = value;
    if (k == at.end - 1) last[at_chunk(at, s)] = value;
  };
  Complex all = walk<VARYING>(at, a, state, exchange, load, store);
  if (VARYING && product && at.inside && at.warp == 0 && at.row == 0) product[at_chunk(at, s)] = all;
}

// g_k = dx_k + conj(a_{k+1}) g_{k+1} from the last step to the first, dx_last added to the last; g is the cotangent of b.
// da = g_k conj(x_{k-1}): per step (N, L, P) if a varies, else the chunk's sum (N, chunks, P). dx0 = conj(a_0) g_0.
// start and last are the adjoint states entering and leaving a chunk, counted in the order of the adjoint.
// g null: only last and the product.
struct Cotangents {
  const Complex *dx, *dx_last;
};
template <bool VARYING>
INLINE void adjoint(const Complex* multipliers, const Complex* x, const Complex* x0, Cotangents d, const Complex* start,
                    Complex* g, Complex* da, Complex* dx0, Complex* last, Complex* product, Sizes s, Exchange& exchange) {
  const Place at = place(s);
  const Complex zero = {0, 0}, one = {1, 0};
  const Index nth = at.n * s.P + at.channel;
  Complex a = !VARYING && at.inside ? conjugate(multipliers[at.channel]) : zero;
  Complex state = start && at.inside ? start[at_chunk(at, s)] : zero;
  Complex sum = zero, previous[STEPS];
  auto load = [&](Index m, int i) -> Map {
    Index k = s.L - 1 - m;
    Complex value = d.dx ? d.dx[at_step(at, s, k)] : zero;
    if (m == 0 && d.dx_last) value = value + d.dx_last[nth];
    if (g) previous[i] = k ? x[at_step(at, s, k - 1)] : x0 ? x0[nth] : zero;
    return {!VARYING ? a : m ? conjugate(multipliers[at_step(at, s, k + 1)]) : one, value};
  };
  auto store = [&](Index m, int i, Complex value) {
    Index k = s.L - 1 - m;
    if (last && m == at.end - 1) last[at_chunk(at, s)] = value;
    if (!g) return;
    g[at_step(at, s, k)] = value;
    Complex dk = value * conjugate(previous[i]);
    if (VARYING) da[at_step(at, s, k)] = dk;
    else sum = sum + dk;
    if (k == 0) dx0[nth] = (VARYING ? conjugate(multipliers[at_step(at, s, 0)]) : a) * value;
  };
  Complex all = walk<VARYING>(at, a, state, exchange, load, store);
  if (VARYING && product && at.inside && at.warp == 0 && at.row == 0) product[at_chunk(at, s)] = all;
  if constexpr (!VARYING) {
    if (!g) return;
#pragma unroll
    for (int d = 1; d < ROWS; d *= 2) sum = sum + shuffle_down(sum, d * CHANNELS);
    __syncthreads();  // the last tile may still be read
    if (at.row == 0) exchange.b[0][at.warp][at.column] = sum;
    __syncthreads();
    if (at.warp || at.row || !at.inside) return;
    for (int w = 1; w < WARPS; w++) sum = sum + exchange.b[0][w][at.column];
    da[at_chunk(at, s)] = sum;
  }
}

// start_0 = first (N, P) or zero, start_{j+1} = A_j start_j + leaving_j, A_j the product of the multipliers of chunk j. One
// thread a channel: there are few chunks. A constant multiplier, conjugated for the adjoint, is raised to the chunk's length.
INLINE void chain(const Complex* factors, Complex factor, const Complex* leaving, const Complex* first, Complex* start,
                  Index i, int P, int chunks) {
  Complex state = {0, 0};
  if (first) state = first[i];
  for (int j = 0; j < chunks; j++) {
    Index k = (i / P * chunks + j) * P + i % P;
    start[k] = state;
    if (j < chunks - 1) state = (factors ? factors[k] : factor) * state + leaving[k];
  }
}

#define THREAD (blockIdx.x * (Index)blockDim.x + threadIdx.x)

KERNEL __launch_bounds__(LANES* WARPS) scan_constant(const Complex* __restrict__ multipliers, const Complex* __restrict__ inputs,
    const Complex* __restrict__ start, Complex* __restrict__ x, Complex* __restrict__ last, Complex* __restrict__ product,
    Index L, int P, int chunks, Index length, int reverse) {
  __shared__ Exchange exchange;
  scan<false>(multipliers, inputs, start, x, last, product, {L, P, chunks, length, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS) scan_varying(const Complex* __restrict__ multipliers, const Complex* __restrict__ inputs,
    const Complex* __restrict__ start, Complex* __restrict__ x, Complex* __restrict__ last, Complex* __restrict__ product,
    Index L, int P, int chunks, Index length, int reverse) {
  __shared__ Exchange exchange;
  scan<true>(multipliers, inputs, start, x, last, product, {L, P, chunks, length, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS) adjoint_constant(const Complex* __restrict__ multipliers, const Complex* __restrict__ x,
    const Complex* __restrict__ x0, const Complex* __restrict__ dx, const Complex* __restrict__ dx_last,
    const Complex* __restrict__ start, Complex* __restrict__ g, Complex* __restrict__ da, Complex* __restrict__ dx0,
    Complex* __restrict__ last, Complex* __restrict__ product, Index L, int P, int chunks, Index length, int reverse) {
  __shared__ Exchange exchange;
  adjoint<false>(multipliers, x, x0, {dx, dx_last}, start, g, da, dx0, last, product,
                 {L, P, chunks, length, reverse != 0}, exchange);
}

KERNEL __launch_bounds__(LANES* WARPS) adjoint_varying(const Complex* __restrict__ multipliers, const Complex* __restrict__ x,
    const Complex* __restrict__ x0, const Complex* __restrict__ dx, const Complex* __restrict__ dx_last,
    const Complex* __restrict__ start, Complex* __restrict__ g, Complex* __restrict__ da, Complex* __restrict__ dx0,
    Complex* __restrict__ last, Complex* __restrict__ product, Index L, int P, int chunks, Index length, int reverse) {
  __shared__ Exchange exchange;
  adjoint<true>(multipliers, x, x0, {dx, dx_last}, start, g, da, dx0, last, product,
                {L, P, chunks, length, reverse != 0}, exchange);
}

KERNEL carry_constant(const Complex* __restrict__ multipliers, const Complex* __restrict__ leaving,
    const Complex* __restrict__ first, Complex* __restrict__ start, Index N, int P, int chunks, Index length, int conjugated) {
  Index i = THREAD;
  if (i >= N * P) return;
  Complex a = multipliers[i % P];
  chain(nullptr, power(conjugated ? conjugate(a) : a, length), leaving, first, start, i, P, chunks);
}

KERNEL carry_varying(const Complex* __restrict__ products, const Complex* __restrict__ leaving,
    const Complex* __restrict__ first, Complex* __restrict__ start, Index N, int P, int chunks) {
  Index i = THREAD;
  if (i >= N * P) return;
  chain(products, {0, 0}, leaving, first, start, i, P, chunks);
}
