// Sums over the rows of (rows, H) in two stages, and BatchNorm. Stage one leaves a row of partial sums, or moments, a slab;
// stage two (`sums` again, or `statistics`) runs over these in one slab; both in an order that the shapes decide. valid (rows)
// restricts statistics to its rows; null: all.

KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) sums(const REAL* __restrict__ x, const unsigned char* __restrict__ valid,
    REAL* __restrict__ partial, Index rows, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  __shared__ REAL scratch[ROW_WARPS][LANES];
  REAL sum = 0;
  FOR_ROWS {
    if (!valid || valid[row]) sum += x[row * H + at.channel];
  }
  sum = across_warps(sum, scratch);
  if (at.inside && threadIdx.x < LANES) partial[at.number * H + at.channel] = sum;
}

KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) moments(const REAL* __restrict__ x, const unsigned char* __restrict__ valid,
    REAL* __restrict__ partial, Index rows, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  __shared__ Moments scratch[ROW_WARPS][LANES];
  Moments own = moments_of_rows(at, valid, [&](Index row) { return x[row * H + at.channel]; });
  store_moments(partial, at, H, across_warps(own, scratch));
}

// What BatchNorm needs of all slabs' moments: mean, 1/sqrt(var + eps), the running statistics after this batch, the count.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) statistics(const REAL* __restrict__ partial,
    const REAL* __restrict__ running_mean, const REAL* __restrict__ running_var, REAL keep, REAL take, REAL eps,
    REAL* __restrict__ mean, REAL* __restrict__ rstd, REAL* __restrict__ new_mean, REAL* __restrict__ new_var,
    REAL* __restrict__ count, Index slabs, int H) {
  const Slab at = slab_of_block(slabs, H, slabs);
  __shared__ Moments scratch[ROW_WARPS][LANES];
  Moments all = {0, 0, 0, 0};
  FOR_ROWS all = combine(all, load_moments(partial, row, H, at.channel));
  all = across_warps(all, scratch);
  if (!at.inside || threadIdx.x >= LANES) return;
  int c = at.channel;
  REAL mu = all.origin + all.offset, var = all.squares / all.count;
  mean[c] = mu;
  rstd[c] = 1 / sqrt(var + eps);
  new_mean[c] = keep * running_mean[c] + take * mu;
  new_var[c] = keep * running_var[c] + take * var;
  if (c == 0) count[0] = all.count;
}

KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) normalise(const REAL* __restrict__ x, const REAL* __restrict__ mean,
    const REAL* __restrict__ rstd, const REAL* __restrict__ scale, const REAL* __restrict__ bias, REAL* __restrict__ y,
    Index rows, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  if (!at.inside) return;
  REAL mu = mean[at.channel], r = rstd[at.channel], slope = scale[at.channel], shift = bias[at.channel];
  FOR_ROWS {
    Index j = row * H + at.channel;
    y[j] = slope * ((x[j] - mu) * r) + shift;
  }
}

// The slab's parts of dscale = sum of dy xhat and dbias = sum of dy.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) affine_vjp(const REAL* __restrict__ x, const REAL* __restrict__ mean,
    const REAL* __restrict__ rstd, const REAL* __restrict__ dy, REAL* __restrict__ dscale, REAL* __restrict__ dbias, Index rows,
    int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  __shared__ REAL scratch[2][ROW_WARPS][LANES];
  REAL with_xhat = 0, alone = 0, mu = at.inside ? mean[at.channel] : 0, r = at.inside ? rstd[at.channel] : 0;
  FOR_ROWS {
    Index j = row * H + at.channel;
    with_xhat += dy[j] * ((x[j] - mu) * r);
    alone += dy[j];
  }
  with_xhat = across_warps(with_xhat, scratch[0]);
  alone = across_warps(alone, scratch[1]);
  if (!at.inside || threadIdx.x >= LANES) return;
  dscale[at.number * H + at.channel] = with_xhat;
  dbias[at.number * H + at.channel] = alone;
}

// dx = (dy - (dbias + xhat dscale)/count [valid]) scale rstd; count null: the statistics are constants.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) normalise_vjp(const REAL* __restrict__ x, const REAL* __restrict__ mean,
    const REAL* __restrict__ rstd, const REAL* __restrict__ scale, const unsigned char* __restrict__ valid,
    const REAL* __restrict__ count, const REAL* __restrict__ dscale, const REAL* __restrict__ dbias,
    const REAL* __restrict__ dy, REAL* __restrict__ dx, Index rows, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  if (!at.inside) return;
  int c = at.channel;
  REAL mu = mean[c], r = rstd[c], slope = scale[c] * r;
  REAL along_one = count ? dbias[c] / count[0] : 0, along_xhat = count ? dscale[c] / count[0] : 0;
  FOR_ROWS {
    Index j = row * H + c;
    REAL through = !valid || valid[row] ? along_one + (x[j] - mu) * r * along_xhat : 0;
    dx[j] = (dy[j] - through) * slope;
  }
}
