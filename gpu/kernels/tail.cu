// What follows the state readout in a layer, in two passes over memory, and their adjoints. Arrays are (N L, H) by rows;
// the dropout masks are (N, H), constant over the L steps of a sequence, or null. N L < 2^32.
#define MASK(mask) ((mask) ? (mask)[(Index)((unsigned)row / (unsigned)L) * H + at.channel] : (REAL)1)

// y = v + D u, g = gelu(y) mask. y is what the adjoint needs; v may be y.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) activate(const REAL* v, const REAL* __restrict__ u, const REAL* __restrict__ D,
    const REAL* __restrict__ mask, REAL* y, REAL* __restrict__ g, Index rows, Index L, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  REAL weight = at.inside ? D[at.channel] : 0;
  FOR_ROWS {
    Index j = row * H + at.channel;
    REAL sum = v[j] + weight * u[j];
    y[j] = sum;
    g[j] = sum * gelu(sum).left * MASK(mask);
  }
}

// dy = gelu'(y) mask dg + direct (of y past the GELU, or null), du = D dy, and the slab's part of dD = sum of dy u.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) activate_vjp(const REAL* __restrict__ y, const REAL* __restrict__ u,
    const REAL* __restrict__ D, const REAL* __restrict__ mask, const REAL* __restrict__ dg, const REAL* __restrict__ direct,
    REAL* __restrict__ dy, REAL* __restrict__ du, REAL* __restrict__ dD, Index rows, Index L, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  __shared__ REAL room[ROW_WARPS][LANES];
  REAL sum = 0, weight = at.inside ? D[at.channel] : 0;
  FOR_ROWS {
    Index j = row * H + at.channel;
    REAL d = dg[j] * MASK(mask) * gelu_slope(gelu(y[j]));
    if (direct) d += direct[j];
    dy[j] = d;
    du[j] = weight * d;
    sum += d * u[j];
  }
  sum = across_warps(sum, room);
  if (at.inside && threadIdx.x < LANES) dD[at.number * H + at.channel] = sum;
}

// out = h sigmoid(z) mask + skip.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) gate(const REAL* __restrict__ h, const REAL* __restrict__ z,
    const REAL* __restrict__ mask, const REAL* __restrict__ skip, REAL* __restrict__ out, Index rows, Index L, int H,
    Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  FOR_ROWS {
    Index j = row * H + at.channel;
    out[j] = h[j] * sigmoid(z[j]) * MASK(mask) + skip[j];
  }
}

// (dh, dz) from dout; the cotangent of skip is dout itself.
KERNEL __launch_bounds__(LANES* ROW_WARPS, 4) gate_vjp(const REAL* __restrict__ h, const REAL* __restrict__ z,
    const REAL* __restrict__ mask, const REAL* __restrict__ dout, REAL* __restrict__ dh, REAL* __restrict__ dz, Index rows,
    Index L, int H, Index slab_rows) {
  const Slab at = slab_of_block(rows, H, slab_rows);
  FOR_ROWS {
    Index j = row * H + at.channel;
    REAL d = dout[j] * MASK(mask), s = sigmoid(z[j]);
    dh[j] = d * s;
    dz[j] = d * h[j] * (s * sigmoid(-z[j]));
  }
}
