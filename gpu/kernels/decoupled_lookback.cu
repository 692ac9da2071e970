// The parts of a scan: which steps a thread owns, how the maps x -> a x + b of the threads of a block are composed in the order of
// time, and decoupled look-back (-DLOOKBACK=1): several blocks share a sequence, and each takes the state that enters its chunk
// from what the blocks before it have published.
#ifndef CHANNELS
#define CHANNELS 32
#endif
#ifndef STEPS
#define STEPS 8
#endif
#ifndef WARPS
#define WARPS 8
#endif
#ifndef LOOKBACK
#define LOOKBACK 0
#endif
#define MIN_BLOCKS (64 / WARPS / (int)sizeof(REAL))  // blocks per multiprocessor, at least: 16 warps, or 8 in double
#define ROWS (LANES / CHANNELS)
#define TILE (WARPS * ROWS * STEPS)
#define CHUNKS_PER_THREAD 4                       // chunks whose aggregates one thread reads
#define GROUP (WARPS * ROWS * CHUNKS_PER_THREAD)  // chunks whose aggregates all threads of a column read

struct Map {  // x -> a x + b
  Complex a, b;
};

struct WarpMaps {  // the map of each warp, by channel
  Complex a[WARPS][CHANNELS], b[WARPS][CHANNELS];
};

// Shared memory of a block. Two tiles are used in turn: a slow warp may still read one while a fast warp writes the other.
struct Exchange {
  WarpMaps tile[2], before;
  unsigned ticket;
};

struct Sizes {
  Index N, L;
  int P;
  bool reverse;
};

// Global memory that the blocks of a sequence share, null without look-back. A chunk publishes one map for each channel: its
// aggregate, which is the composition of its own steps, or, as the last chunk of a group, its prefix: the state that leaves it.
struct Lookback {
  unsigned* flags;     // the ticket counter, then a flag per (sequence, chunk, channel): 1 when published; zero at the launch
  Complex* published;  // (N, chunks, P): b of the maps, then a where it varies, or the prefix in place of b
};

// What a thread owns: a channel of sequence n, the steps begin <= k < end of its block, and its row and warp among them.
struct Slot {
  int column, row, warp, channel, chunk, chunks;
  Index n, begin, end;
  bool inside;
};

// With look-back a block may wait for other blocks, and blocks start in any order. So a block takes its number from a counter when
// it starts: earlier chunks, of all sequences, have smaller numbers, and a block waits only for smaller numbers.
INLINE Slot slot_of_block(Sizes s, const Lookback& lookback, Exchange& exchange) {
  Index number = blockIdx.x;
  if (LOOKBACK) {
    if (threadIdx.x == 0) exchange.ticket = atomicAdd(lookback.flags, 1u);
    __syncthreads();
    number = exchange.ticket;
  }
  int groups = (s.P + CHANNELS - 1) / CHANNELS, lane = threadIdx.x % LANES;
  int channel = (int)(number % groups) * CHANNELS + lane % CHANNELS;
  int chunk = (int)(number / groups / s.N), chunks = LOOKBACK ? (int)((s.L + TILE - 1) / TILE) : 1;
  Index begin = (Index)chunk * TILE, end = begin + TILE;
  return {lane % CHANNELS, lane / CHANNELS, (int)threadIdx.x / LANES, channel, chunk, chunks,
          number / groups % s.N, begin, LOOKBACK && end < s.L ? end : s.L, channel < s.P};
}

// Positions in memory: of step k (counted in the order of the scan) in (N, L) and in (N, L, P), of a chunk in (N, chunks, P).
INLINE Index row_index(const Slot& at, Sizes s, Index k) { return at.n * s.L + (s.reverse ? s.L - 1 - k : k); }
INLINE Index step_index(const Slot& at, Sizes s, Index k) { return row_index(at, s, k) * s.P + at.channel; }
INLINE Index chunk_index(const Slot& at, Sizes s, int chunk) { return (at.n * at.chunks + chunk) * s.P + at.channel; }

struct Powers {  // of a constant multiplier: a over the steps of a thread, of a warp, of the rows before the thread's
  Complex thread, warp, before;
};
template <int K>
INLINE Powers powers(const Slot& at, Complex a) { return {power(a, K), power(a, K * ROWS), power(a, K * at.row)}; }

// Composes K maps of each thread in the order of time. Returns the map of the rows before the thread's in its warp, and writes the
// map of the whole warp to ``to``.
template <bool VARYING, int K>
INLINE Map compose(const Slot& at, const Powers& constant, const Complex (&multiplier)[K],
                   const Complex (&value)[K], WarpMaps& to) {
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

// The map of all warps together. With a constant multiplier only b is computed.
template <bool VARYING>
INLINE Map compose_warps(const Slot& at, const Powers& constant, const WarpMaps& from) {
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
INLINE void publish(const Slot& at, Sizes s, const Lookback& lookback, Map map) {
  Index i = chunk_index(at, s, at.chunk);
  lookback.published[i] = map.b;
  if (VARYING) lookback.published[s.N * at.chunks * s.P + i] = map.a;
  __threadfence();
  *(volatile unsigned*)(lookback.flags + 1 + i) = 1;
}

// True for one thread of each channel.
INLINE bool first_thread(const Slot& at) { return at.inside && at.warp == 0 && at.row == 0; }

// A chunk publishes its aggregate at once. The last chunk of a group of GROUP chunks publishes its prefix instead, when it has it.
// Nothing reads what the last chunk of a sequence would publish.
INLINE bool publishes(const Slot& at) { return first_thread(at) && at.chunk + 1 < at.chunks; }
INLINE bool ends_group(const Slot& at) { return (at.chunk + 1) % GROUP == 0; }

// The state that enters a chunk. The aggregates of the chunks before it in its group are composed together, as the threads compose
// their own steps, and the result is applied to the prefix of the group before (in the first group to ``state``). The same maps are
// composed in the same order whenever they arrive, so the bits do not depend on time. All of them have smaller tickets, so the
// blocks that are waited for are running.
template <bool VARYING>
INLINE Complex exclusive_prefix(const Slot& at, Sizes s, const Lookback& lookback, Complex a, const Powers& constant,
                                Complex state, const WarpMaps& tile, WarpMaps& scratch) {
  const Complex zero = {0, 0}, one = {1, 0};
  if (publishes(at) && !ends_group(at)) publish<VARYING>(at, s, lookback, compose_warps<VARYING>(at, constant, tile));

  const int group = at.chunk / GROUP * GROUP;  // the first chunk of the group
  const int first = at.chunk - GROUP + (at.warp * ROWS + at.row) * CHUNKS_PER_THREAD;  // the first chunk that this thread reads
  const volatile unsigned* flags = lookback.flags + 1;
  for (bool ready = false; !ready;) {
    ready = true;
#pragma unroll
    for (int i = 0; i < CHUNKS_PER_THREAD; i++)
      if (at.inside && first + i >= group && !flags[chunk_index(at, s, first + i)]) ready = false;
    if (!ready) __nanosleep(32);
  }
  __threadfence();
  const Complex a_tile = power(a, TILE);
  Complex multiplier[CHUNKS_PER_THREAD], value[CHUNKS_PER_THREAD];
#pragma unroll
  for (int i = 0; i < CHUNKS_PER_THREAD; i++) {  // chunks before the group count as the identity
    bool in_group = at.inside && first + i >= group;
    Index j = chunk_index(at, s, first + i);
    value[i] = in_group ? lookback.published[j] : zero;
    multiplier[i] = !VARYING ? a_tile : in_group ? lookback.published[s.N * at.chunks * s.P + j] : one;
  }
  const Powers tiles = powers<CHUNKS_PER_THREAD>(at, a_tile);
  compose<VARYING, CHUNKS_PER_THREAD>(at, tiles, multiplier, value, scratch);
  __syncthreads();
  Map before = compose_warps<VARYING>(at, tiles, scratch);
  if (!VARYING) before.a = power(a_tile, at.chunk - group);

  if (group && at.inside) {
    Index j = chunk_index(at, s, group - 1);
    while (!flags[j]) __nanosleep(32);
    __threadfence();
    state = lookback.published[j];
  }
  return before.a * state + before.b;
}

template <bool VARYING>
INLINE void publish_prefix(const Slot& at, Sizes s, const Lookback& lookback, Complex state) {
  if (publishes(at) && ends_group(at)) publish<VARYING>(at, s, lookback, {{1, 0}, state});
}
