// What follows the state readout in a layer, in two passes over memory, and their adjoints. Arrays are (N L, H) by rows;
// the dropout masks are (N, H), constant over the L steps of a sequence, or null. N L < 2^32.
#define MASK(mask) ((mask) ? (mask)[(Index)((unsigned)row / (unsigned)L) * H + at.channel] : (REAL)1)

// y = v + D u, g = gelu(y) mask, the GELU by tanh or by erf. y is what the adjoint needs; v may be y.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) activate(const REAL* v, const REAL* __restrict__ u, const REAL* __restrict__ D,
    const REAL* __restrict__ mask, REAL* y, REAL* __restrict__ g, int by_erf, Index rows, Index L, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  REAL weight = at.inside ? D[at.channel] : 0;
  FOR_ROWS {
    Index j = row * H + at.channel;
    REAL sum = v[j] + weight * u[j];
    y[j] = sum;
    g[j] = sum * (by_erf ? normal_cdf(sum) : gelu(sum).left) * MASK(mask);
  }
}

// dy = gelu'(y) mask dg + direct (of y past the GELU, or null), du = D dy, and the slab's part of dD = sum of dy u.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) activate_vjp(const REAL* __restrict__ y, const REAL* __restrict__ u,
    const REAL* __restrict__ D, const REAL* __restrict__ mask, const REAL* __restrict__ dg, const REAL* __restrict__ direct,
    REAL* __restrict__ dy, REAL* __restrict__ du, REAL* __restrict__ dD, int by_erf, Index rows, Index L, int H,
    Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  __shared__ REAL scratch[ROW_WARPS][LANES];
  REAL sum = 0, weight = at.inside ? D[at.channel] : 0;
  FOR_ROWS {
    Index j = row * H + at.channel;
    REAL d = dg[j] * MASK(mask) * (by_erf ? gelu_erf_slope(y[j]) : gelu_slope(gelu(y[j])));
    if (direct) d += direct[j];
    dy[j] = d;
    du[j] = weight * d;
    sum += d * u[j];
  }
  sum = across_warps(sum, scratch);
  if (at.inside && threadIdx.x < LANES) dD[at.number * H + at.channel] = sum;
}

// out = h sigmoid(z) mask + skip, or h mask + skip if z is null; and the slab's part of out's moments (null: not asked for).
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) gate(const REAL* __restrict__ h, const REAL* __restrict__ z,
    const REAL* __restrict__ mask, const REAL* __restrict__ skip, const unsigned char* __restrict__ valid,
    REAL* __restrict__ out, REAL* __restrict__ partial, Index rows, Index L, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  auto value = [&](Index row) {
    Index j = row * H + at.channel;
    REAL gated = z ? h[j] * sigmoid(z[j]) : h[j];
    return out[j] = fma(gated, MASK(mask), skip[j]);
  };
  if (partial) {
    __shared__ Moments scratch[ROW_WARPS][LANES];
    Moments own = moments_of_rows(at, valid, value);
    store_moments(partial, at, H, across_warps(own, scratch));
  } else {
    FOR_ROWS value(row);
  }
}

// (dh, dz) from dout, dh alone if z is null; the cotangent of skip is dout itself.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) gate_vjp(const REAL* __restrict__ h, const REAL* __restrict__ z,
    const REAL* __restrict__ mask, const REAL* __restrict__ dout, REAL* __restrict__ dh, REAL* __restrict__ dz, Index rows,
    Index L, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  FOR_ROWS {
    Index j = row * H + at.channel;
    REAL d = dout[j] * MASK(mask), s = z ? sigmoid(z[j]) : (REAL)1;
    dh[j] = d * s;
    if (z) dz[j] = d * h[j] * (s * sigmoid(-z[j]));
  }
}
