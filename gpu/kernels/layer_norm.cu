// LayerNorm over the H channels of each of ``rows`` rows, and its vjp. A warp owns a row at a time, with lanes over its channels.
// It reads a row several times, after the first time from the cache.
INLINE REAL across_lanes(REAL value) {
  int lane = threadIdx.x % LANES;
  for (int d = LANES / 2; d; d /= 2) value += __shfl_down_sync(FULL_MASK, value, d);
  for (int d = 1; d < LANES; d *= 2) {  // lane 0 has the sum of all lanes: copy it to the others
    REAL sum = __shfl_up_sync(FULL_MASK, value, d);
    if (lane >= d) value = sum;
  }
  return value;
}

#define FOR_CHANNELS for (int c = threadIdx.x % LANES; c < H; c += LANES)

// xhat = (x - mean) rstd and y = scale xhat + bias; the variance is of centred values.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) layer_norm(const REAL* __restrict__ x, const REAL* __restrict__ scale,
    const REAL* __restrict__ bias, REAL eps, REAL* __restrict__ y, REAL* __restrict__ xhat, REAL* __restrict__ rstd, Index rows,
    int H) {
  Index row = blockIdx.x * (Index)ROW_WARPS + threadIdx.x / LANES;
  if (row >= rows) return;
  Index at = row * H;
  REAL sum = 0, squares = 0;
  FOR_CHANNELS sum += x[at + c];
  REAL mean = across_lanes(sum) / H;
  FOR_CHANNELS {
    REAL centred = x[at + c] - mean;
    squares += centred * centred;
  }
  REAL r = 1 / sqrt(across_lanes(squares) / H + eps);
  FOR_CHANNELS {
    REAL normal = (x[at + c] - mean) * r;
    xhat[at + c] = normal;
    y[at + c] = scale[c] * normal + bias[c];
  }
  if (threadIdx.x % LANES == 0) rstd[row] = r;
}

// dx = rstd (g - mean(g) - xhat mean(g xhat)), g = scale dy, and the block's parts of dscale = sum of dy xhat, dbias = sum of dy.
// Each warp first computes the means of its rows. Then all warps go through the channels, 32 at a time, with a
// barrier after each 32.
#define ROWS_PER_WARP 4
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) layer_norm_vjp(const REAL* __restrict__ xhat, const REAL* __restrict__ rstd,
    const REAL* __restrict__ scale, const REAL* __restrict__ dy, REAL* __restrict__ dx, REAL* __restrict__ dscale,
    REAL* __restrict__ dbias, Index rows, int H) {
  __shared__ REAL scratch[2][ROW_WARPS][LANES];
  Index first = blockIdx.x * (Index)(ROW_WARPS * ROWS_PER_WARP) + threadIdx.x / LANES;
  REAL alone[ROWS_PER_WARP], along[ROWS_PER_WARP];
#pragma unroll
  for (int i = 0; i < ROWS_PER_WARP; i++) {
    Index row = first + i * ROW_WARPS;
    REAL with_one = 0, with_xhat = 0;
    if (row < rows) FOR_CHANNELS {
      REAL g = dy[row * H + c] * scale[c];
      with_one += g;
      with_xhat += g * xhat[row * H + c];
    }
    alone[i] = across_lanes(with_one) / H;
    along[i] = across_lanes(with_xhat) / H;
  }
  for (int begin = 0; begin < H; begin += LANES) {
    int c = begin + threadIdx.x % LANES;
    bool inside = c < H;
    REAL with_xhat = 0, with_one = 0, slope = inside ? scale[c] : 0;
#pragma unroll
    for (int i = 0; i < ROWS_PER_WARP; i++) {
      Index row = first + i * ROW_WARPS, j = row * H + c;
      if (!inside || row >= rows) continue;
      dx[j] = rstd[row] * (dy[j] * slope - alone[i] - xhat[j] * along[i]);
      with_xhat += dy[j] * xhat[j];
      with_one += dy[j];
    }
    with_xhat = across_warps(with_xhat, scratch[0]);  // two arrays: another warp may still read the first
    with_one = across_warps(with_one, scratch[1]);
    if (!inside || threadIdx.x >= LANES) continue;
    dscale[blockIdx.x * (Index)H + c] = with_xhat;
    dbias[blockIdx.x * (Index)H + c] = with_one;
  }
}
