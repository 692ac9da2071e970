// Sums over the rows of (rows, H) in two stages, and BatchNorm with them. Stage one leaves a row of partial sums a slab, stage
// two is `sums` of those rows in one slab; both in an order that the shapes decide. valid (rows) restricts statistics to its rows; null: all.
#define ROWS_OF_SLAB \
  const Slab at = slab_of_block(rows, H, slab_rows); \
  if (at.inside) for (Index row = at.begin; row < at.end; row += ROW_WARPS)

KERNEL __launch_bounds__(LANES* ROW_WARPS) sums(const REAL* __restrict__ x, const unsigned char* __restrict__ valid,
    REAL* __restrict__ partial, Index rows, int H, Index slab_rows) {
  __shared__ REAL room[ROW_WARPS][LANES];
  REAL sum = 0;
  ROWS_OF_SLAB {
    if (!valid || valid[row]) sum += x[row * H + at.channel];
  }
  sum = across_warps(sum, room);
  if (at.inside && threadIdx.x < LANES) partial[at.number * H + at.channel] = sum;
}

KERNEL __launch_bounds__(LANES* ROW_WARPS) centred_squares(const REAL* __restrict__ x, const REAL* __restrict__ mean,
    const unsigned char* __restrict__ valid, REAL* __restrict__ partial, Index rows, int H, Index slab_rows) {
  __shared__ REAL room[ROW_WARPS][LANES];
  REAL sum = 0;
  ROWS_OF_SLAB {
    REAL centred = x[row * H + at.channel] - mean[at.channel];
    if (!valid || valid[row]) sum += centred * centred;
  }
  sum = across_warps(sum, room);
  if (at.inside && threadIdx.x < LANES) partial[at.number * H + at.channel] = sum;
}

KERNEL __launch_bounds__(LANES* ROW_WARPS) normalise(const REAL* __restrict__ x, const REAL* __restrict__ mean,
    const REAL* __restrict__ rstd, const REAL* __restrict__ scale, const REAL* __restrict__ bias, REAL* __restrict__ y,
    Index rows, int H, Index slab_rows) {
  ROWS_OF_SLAB {
    Index j = row * H + at.channel;
    y[j] = scale[at.channel] * ((x[j] - mean[at.channel]) * rstd[at.channel]) + bias[at.channel];
  }
}

// The slab's parts of dscale = sum of dy xhat and dbias = sum of dy.
KERNEL __launch_bounds__(LANES* ROW_WARPS) affine_vjp(const REAL* __restrict__ x, const REAL* __restrict__ mean,
    const REAL* __restrict__ rstd, const REAL* __restrict__ dy, REAL* __restrict__ dscale, REAL* __restrict__ dbias, Index rows,
    int H, Index slab_rows) {
  __shared__ REAL room[2][ROW_WARPS][LANES];
  REAL with_xhat = 0, alone = 0;
  ROWS_OF_SLAB {
    Index j = row * H + at.channel;
    with_xhat += dy[j] * ((x[j] - mean[at.channel]) * rstd[at.channel]);
    alone += dy[j];
  }
  with_xhat = across_warps(with_xhat, room[0]);
  alone = across_warps(alone, room[1]);
  if (!at.inside || threadIdx.x >= LANES) return;
  dscale[at.number * H + at.channel] = with_xhat;
  dbias[at.number * H + at.channel] = alone;
}

// dx = (dy - (dbias + xhat dscale)/count [valid]) scale rstd; count null: the statistics are constants.
KERNEL __launch_bounds__(LANES* ROW_WARPS) normalise_vjp(const REAL* __restrict__ x, const REAL* __restrict__ mean,
    const REAL* __restrict__ rstd, const REAL* __restrict__ scale, const unsigned char* __restrict__ valid,
    const REAL* __restrict__ count, const REAL* __restrict__ dscale, const REAL* __restrict__ dbias,
    const REAL* __restrict__ dy, REAL* __restrict__ dx, Index rows, int H, Index slab_rows) {
  ROWS_OF_SLAB {
    Index j = row * H + at.channel;
    int c = at.channel;
    REAL d = dy[j];
    if (count && (!valid || valid[row]))
      d -= dbias[c] / count[0] + (x[j] - mean[c]) * rstd[c] * (dscale[c] / count[0]);
    dx[j] = d * (scale[c] * rstd[c]);
  }
}
