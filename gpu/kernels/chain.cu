// What the blocks of a scan are made of: which steps a block owns, how it composes the maps x -> a x + b of its threads in the
// order of time, and, CHAINED, how it learns from the blocks before it which state enters.
#ifndef CHANNELS
#define CHANNELS 32
#endif
#ifndef STEPS
#define STEPS 8
#endif
#ifndef WARPS
#define WARPS 8
#endif
#ifndef CHAINED
#define CHAINED 0
#endif
#define RESIDENT (64 / WARPS / (int)sizeof(REAL))  // blocks on a multiprocessor, at least: 16 warps, in double 8
#define ROWS (LANES / CHANNELS)
#define TILE (WARPS * ROWS * STEPS)
#define REACH 4                       // chunks that one thread looks back on
#define GROUP (WARPS * ROWS * REACH)  // that all threads of a column do

struct Map {  // x -> a x + b
  Complex a, b;
};

struct Warps {  // their maps
  Complex a[WARPS][CHANNELS], b[WARPS][CHANNELS];
};

struct Exchange {  // between warps, two tiles in turn: a slow warp still reads one while a fast one writes the other
  Warps tile[2], before;
  unsigned ticket;
};

struct Sizes {
  Index N, L;
  int P;
  bool reverse;
};

// Between the blocks of a chain, per (sequence, chunk, channel): what the chunk publishes, and whether it has.
struct Chain {
  unsigned* flags;   // the ticket counter, then the flags; zero at the launch
  Complex* effects;  // b, then a if it varies
};

struct Place {
  int column, row, warp, channel, chunk, chunks;
  Index n, begin, end;
  bool inside;
};

// Blocks begin in any order, and a block may wait for others: a chunk is given to who comes, earlier chunks of all sequences first.
INLINE Place place(Sizes s, const Chain& chain, Exchange& exchange) {
  Index number = blockIdx.x;
  if (CHAINED) {
    if (threadIdx.x == 0) exchange.ticket = atomicAdd(chain.flags, 1u);
    __syncthreads();
    number = exchange.ticket;
  }
  int groups = (s.P + CHANNELS - 1) / CHANNELS, lane = threadIdx.x % LANES;
  int channel = (int)(number % groups) * CHANNELS + lane % CHANNELS;
  int chunk = (int)(number / groups / s.N), chunks = CHAINED ? (int)((s.L + TILE - 1) / TILE) : 1;
  Index begin = (Index)chunk * TILE, end = begin + TILE;
  return {lane % CHANNELS, lane / CHANNELS, (int)threadIdx.x / LANES, channel, chunk, chunks,
          number / groups % s.N, begin, CHAINED && end < s.L ? end : s.L, channel < s.P};
}

// Where step k (in the order of the scan), and a chunk's own entry, are stored.
INLINE Index at_row(const Place& at, Sizes s, Index k) { return at.n * s.L + (s.reverse ? s.L - 1 - k : k); }
INLINE Index at_step(const Place& at, Sizes s, Index k) { return at_row(at, s, k) * s.P + at.channel; }
INLINE Index at_chunk(const Place& at, Sizes s, int chunk) { return (at.n * at.chunks + chunk) * s.P + at.channel; }

struct Powers {  // of a constant multiplier: it needs no map but these
  Complex thread, warp, before;
};
template <int K>
INLINE Powers powers(const Place& at, Complex a) { return {power(a, K), power(a, K * ROWS), power(a, K * at.row)}; }

// K maps a thread, composed in the order of time: returns what precedes the thread in its warp, leaves the warp's in ``to``.
template <bool VARYING, int K>
INLINE Map compose(const Place& at, const Powers& constant, const Complex (&multiplier)[K], const Complex (&value)[K], Warps& to) {
  const Complex zero = {0, 0}, one = {1, 0};
  Map own = {VARYING ? multiplier[0] : constant.thread, value[0]};  // 1. the thread's steps
#pragma unroll
  for (int i = 1; i < K; i++) {
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
    before = {VARYING ? shuffle_up(own.a, CHANNELS) : constant.before, shuffle_up(own.b, CHANNELS)};
    if (at.row == 0) before = {one, zero};
  }
  if (at.row == ROWS - 1) {
    if (VARYING) to.a[at.warp][at.column] = own.a;
    to.b[at.warp][at.column] = own.b;
  }
  return before;
}

// All warps' maps; of a constant multiplier, only b.
template <bool VARYING>
INLINE Map whole(const Place& at, const Powers& constant, const Warps& from) {
  Map all = {{1, 0}, {0, 0}};
#pragma unroll
  for (int w = 0; w < WARPS; w++) {
    Complex factor = VARYING ? from.a[w][at.column] : constant.warp;
    all.b = factor * all.b + from.b[w][at.column];
    if (VARYING) all.a = factor * all.a;
  }
  return all;
}

template <bool VARYING>
INLINE void publish(const Place& at, Sizes s, const Chain& chain, Map map) {
  Index i = at_chunk(at, s, at.chunk);
  chain.effects[i] = map.b;
  if (VARYING) chain.effects[s.N * at.chunks * s.P + i] = map.a;
  __threadfence();
  *(volatile unsigned*)(chain.flags + 1 + i) = 1;
}

// One thread a channel.
INLINE bool leads(const Place& at) { return at.inside && at.warp == 0 && at.row == 0; }

// A chunk publishes its effect at once; the last one of a group of GROUP chunks does not, but then the state that leaves it.
INLINE bool speaks(const Place& at) { return leads(at) && at.chunk + 1 < at.chunks; }
INLINE bool closes(const Place& at) { return (at.chunk + 1) % GROUP == 0; }

// The state that enters a chunk: the effects of the chunks before it in its group, composed all at once as the threads compose
// their own steps, applied to the state that left the group before (to ``state`` in the first). Always the same maps in the
// same order, and only those of earlier tickets: whoever waits, waits for blocks that run.
template <bool VARYING>
INLINE Complex enter(const Place& at, Sizes s, const Chain& chain, Complex a, const Powers& constant, Complex state,
                     const Warps& tile, Warps& room) {
  const Complex zero = {0, 0}, one = {1, 0};
  if (speaks(at) && !closes(at)) publish<VARYING>(at, s, chain, whole<VARYING>(at, constant, tile));

  const int group = at.chunk / GROUP * GROUP, mine = at.chunk - GROUP + (at.warp * ROWS + at.row) * REACH;
  const volatile unsigned* flags = chain.flags + 1;
  for (bool ready = false; !ready;) {
    ready = true;
#pragma unroll
    for (int i = 0; i < REACH; i++)
      if (at.inside && mine + i >= group && !flags[at_chunk(at, s, mine + i)]) ready = false;
    if (!ready) __nanosleep(32);
  }
  __threadfence();
  const Complex a_tile = power(a, TILE);
  Complex multiplier[REACH], value[REACH];
#pragma unroll
  for (int i = 0; i < REACH; i++) {  // the group begins late in the row of threads: before it there are zeros
    bool there = at.inside && mine + i >= group;
    Index j = at_chunk(at, s, mine + i);
    value[i] = there ? chain.effects[j] : zero;
    multiplier[i] = !VARYING ? a_tile : there ? chain.effects[s.N * at.chunks * s.P + j] : one;
  }
  const Powers tiles = powers<REACH>(at, a_tile);
  compose<VARYING, REACH>(at, tiles, multiplier, value, room);
  __syncthreads();
  Map before = whole<VARYING>(at, tiles, room);
  if (!VARYING) before.a = power(a_tile, at.chunk - group);

  if (group && at.inside) {
    Index j = at_chunk(at, s, group - 1);
    while (!flags[j]) __nanosleep(32);
    __threadfence();
    state = chain.effects[j];
  }
  return before.a * state + before.b;
}

template <bool VARYING>
INLINE void leave(const Place& at, Sizes s, const Chain& chain, Complex state) {
  if (speaks(at) && closes(at)) publish<VARYING>(at, s, chain, {{1, 0}, state});
}
