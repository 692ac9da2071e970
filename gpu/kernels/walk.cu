// x_k = a_k x_{k-1} + b_k over the steps of a sequence, whatever the maps are made of.
//
// A block owns CHANNELS channels of one sequence and walks its steps tile by tile, the state in registers. In a tile a thread
// owns STEPS consecutive steps; the rows of a warp follow each other in time, then the warps. One barrier a tile.
// CHAINED, for few sequences: a block owns one tile of the steps, a chunk, and learns from the blocks before it which state
// enters; `enter` says how. Every sum has one order, which the shapes alone decide.

// Runs x = a x + b over the steps of a chunk from ``state``: load(step, i) reads what the step's map is made of, all of a thread's
// steps before make(map) computes the first, and store(step, i, x) takes its state. The maps stay in registers in between.
template <bool VARYING, class Load, class Make, class Store>
INLINE void walk(const Place& at, Sizes s, const Chain& chain, Complex a, Complex state, Exchange& exchange, Load load,
                 Make make, Store store) {
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

struct AsIs {  // the map is what was loaded
  INLINE void operator()(Complex&, Complex&) const {}
};

// The sum of the threads' values over a chunk, for the one that leads: rows, then warps, in their order.
INLINE Complex over_chunk(const Place& at, Complex sum, Complex (*room)[CHANNELS]) {
#pragma unroll
  for (int d = 1; d < ROWS; d *= 2) sum = sum + shuffle_down(sum, d * CHANNELS);
  __syncthreads();  // the last tile may still be read
  if (at.row == 0) room[at.warp][at.column] = sum;
  __syncthreads();
  if (at.warp == 0)
    for (int w = 1; w < WARPS; w++) sum = sum + room[w][at.column];
  return sum;
}
