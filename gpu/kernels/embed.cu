// y = W[token] + b by rows of (rows, H), and the slab's part of dW[v] = sum of dy over the rows whose token is v.
#ifndef TOKENS
#define TOKENS 32  // of a block of embed_vjp; a larger vocabulary takes several blocks
#endif

// A token outside the vocabulary gives NaN.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) embed(const Index* __restrict__ tokens, const REAL* __restrict__ W,
    const REAL* __restrict__ bias, REAL* __restrict__ y, Index V, Index rows, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  REAL b = at.inside ? bias[at.channel] : 0;
  FOR_ROWS {
    Index v = tokens[row];
    y[row * H + at.channel] = 0 <= v && v < V ? W[v * H + at.channel] + b : (REAL)0 / (REAL)0;
  }
}

// A block is one warp: a lane owns a channel, and a sum for each token in shared memory that no other lane touches. Rows are
// added in their order; UNROLL of them are loaded at once. partial (slabs, V, H).
#define UNROLL 8
KERNEL __launch_bounds__(LANES) embed_vjp(const Index* __restrict__ tokens, const REAL* __restrict__ dy,
    REAL* __restrict__ partial, int V, Index rows, int H, Index slab_rows) {
  __shared__ REAL sums[TOKENS][LANES];
  int groups = (H + LANES - 1) / LANES, tiles = (V + TOKENS - 1) / TOKENS, lane = threadIdx.x;
  int channel = (int)(blockIdx.x % groups) * LANES + lane, first = (int)(blockIdx.x / groups % tiles) * TOKENS;
  int count = V - first < TOKENS ? V - first : TOKENS;
  Index number = blockIdx.x / groups / tiles, begin = number * slab_rows;
  Index end = begin + slab_rows < rows ? begin + slab_rows : rows;
  if (channel >= H) return;
  for (int v = 0; v < count; v++) sums[v][lane] = 0;
  for (Index row = begin; row < end; row += UNROLL) {
    int at[UNROLL];
    REAL d[UNROLL];
#pragma unroll
    for (int i = 0; i < UNROLL; i++) {
      Index v = row + i < end ? tokens[row + i] - first : -1;
      at[i] = 0 <= v && v < count ? (int)v : -1;
      d[i] = at[i] >= 0 ? dy[(row + i) * H + channel] : 0;
    }
#pragma unroll
    for (int i = 0; i < UNROLL; i++)
      if (at[i] >= 0) sums[at[i]][lane] += d[i];
  }
  for (int v = 0; v < count; v++) partial[(number * V + first + v) * H + channel] = sums[v][lane];
}
