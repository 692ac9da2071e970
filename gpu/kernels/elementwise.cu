// One thread an element: the GELU of Flax, that of PyTorch, and h sigmoid(z), each with its vjp.
#define ELEMENT                                                     \
  Index i = blockIdx.x * (Index)blockDim.x + threadIdx.x; \
  if (i >= size) return;

KERNEL gelu_tanh(const REAL* __restrict__ x, REAL* __restrict__ y, Index size) {
  ELEMENT
  y[i] = x[i] * gelu(x[i]).left;
}

KERNEL gelu_tanh_vjp(const REAL* __restrict__ x, const REAL* __restrict__ dy, REAL* __restrict__ dx, Index size) {
  ELEMENT
  dx[i] = dy[i] * gelu_slope(gelu(x[i]));
}

KERNEL gelu_erf(const REAL* __restrict__ x, REAL* __restrict__ y, Index size) {
  ELEMENT
  y[i] = x[i] * normal_cdf(x[i]);
}

KERNEL gelu_erf_vjp(const REAL* __restrict__ x, const REAL* __restrict__ dy, REAL* __restrict__ dx, Index size) {
  ELEMENT
  dx[i] = dy[i] * gelu_erf_slope(x[i]);
}

KERNEL glu(const REAL* __restrict__ h, const REAL* __restrict__ z, REAL* __restrict__ y, Index size) {
  ELEMENT
  y[i] = h[i] * sigmoid(z[i]);
}

KERNEL glu_vjp(const REAL* __restrict__ h, const REAL* __restrict__ z, const REAL* __restrict__ dy, REAL* __restrict__ dh,
    REAL* __restrict__ dz, Index size) {
  ELEMENT
  REAL s = sigmoid(z[i]);
  dh[i] = dy[i] * s;
  dz[i] = dy[i] * h[i] * (s * sigmoid(-z[i]));
}
