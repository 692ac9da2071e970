// The loop of every scan: x_k = a_k x_{k-1} + b_k over the steps of a sequence, where the kernel says how (a_k, b_k) are loaded.
//
// A block owns CHANNELS channels of one sequence and goes through its steps tile by tile, with the state in registers. In a tile a
// thread owns STEPS consecutive steps; the rows of a warp follow each other in time, then the warps. There is one barrier per tile.
// With LOOKBACK, for few sequences, a block owns one tile, called a chunk, and takes the state that enters it from
// `exclusive_prefix`. The order of every sum depends on the shapes alone.

// Runs x = a x + b over the steps of a block from ``state``. load(step, i) reads a step's map or what make(a, b) computes it from;
// a thread loads all of its steps before it computes the first. store(step, i, x) receives the state after each step.
template <bool VARYING, class Load, class Make, class Store>
INLINE void row_loop(const Slot& at, Sizes s, const Lookback& lookback, Complex a, Complex state, Exchange& exchange,
                     Load load, Make make, Store store) {
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
#pragma unroll
    for (int i = 0; i < STEPS; i++)
      if (at.inside && first + i < at.end) make(multiplier[i], value[i]);
    Map before = compose<VARYING, STEPS>(at, constant, multiplier, value, exchange.tile[turn]);
    __syncthreads();
    if (LOOKBACK) state = exclusive_prefix<VARYING>(at, s, lookback, a, constant, state, exchange.tile[turn], exchange.before);
    Complex entering = state;
#pragma unroll
    for (int w = 0; w < WARPS; w++) {  // 3. the warps; every thread keeps the state that leaves the tile
      if (w == at.warp) entering = state;
      Complex factor = VARYING ? exchange.tile[turn].a[w][at.column] : constant.warp;
      state = factor * state + exchange.tile[turn].b[w][at.column];
    }
    if (LOOKBACK) publish_prefix<VARYING>(at, s, lookback, state);
    Complex x = before.a * entering + before.b;
#pragma unroll
    for (int i = 0; i < STEPS; i++) {  // 4. apply
      x = multiplier[i] * x + value[i];
      if (at.inside && first + i < at.end) store(first + i, i, x);
    }
    if (LOOKBACK) break;  // a chunk is one tile, which the compiler does not see
  }
}

struct Unchanged {  // make(a, b) where the map itself is loaded
  INLINE void operator()(Complex&, Complex&) const {}
};

// The sum of the threads' values of a channel over a block, complete in `first_thread`: the rows, then the warps, in their order.
INLINE Complex sum_over_chunk(const Slot& at, Complex sum, Complex (*scratch)[CHANNELS]) {
#pragma unroll
  for (int d = 1; d < ROWS; d *= 2) sum = sum + shuffle_down(sum, d * CHANNELS);
  __syncthreads();  // other warps may still read the last tile
  if (at.row == 0) scratch[at.warp][at.column] = sum;
  __syncthreads();
  if (at.warp == 0)
    for (int w = 1; w < WARPS; w++) sum = sum + scratch[w][at.column];
  return sum;
}
